"""Encodes batch commands and decodes batch responses for v2 and v3. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from b24oauth.errors import AjaxError, InvalidCallParamsError, RequestInfo, SdkError
from b24oauth.models import ApiVersion
from b24oauth.protocol.decoding import error_in
from b24oauth.protocol.dialects import DIALECTS
from b24oauth.protocol.methods import checked_method
from b24oauth.result import AjaxQuery
from b24oauth.shapes import is_items, is_list, is_mapping, is_sequence

__all__ = [
    "MAX_COMMANDS",
    "Call",
    "Calls",
    "Command",
    "Row",
    "batch_params",
    "check_size",
    "parse_calls",
    "query_of",
    "read_rows",
    "refused",
    "times_by_method",
]

# Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/batch.html
MAX_COMMANDS: Final = 50

Call = Sequence[Any] | Mapping[str, Any]
Calls = Sequence[Call] | Mapping[str, Call]

# The code of a command that cannot be read.
_ROW_FAIL: Final = "B24OAUTH_INTERACTION_BATCH_ROW_FAIL"
# What PHP takes for the number of a place in a list; any other key makes it a map.
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)


@attrs.frozen(kw_only=True)
class Command:
    """One command of a batch.

    Attributes:
        key: The caller's name of it, or its position in the caller's list.
        alias: Its name on the wire; None when it only has a position.
        method: REST method.
        params: Its parameters.
        parallel: v3: whether it may run beside others; None follows the batch.
        query: The encoded parameters: a query string in v2, plain values in v3.
        refers: True when it needs the responses of other commands of its request.
    """

    key: str | int
    alias: str | None
    method: str
    params: Any
    parallel: bool | None = None
    query: Any = attrs.field(default=None, repr=False)
    refers: bool = False


@attrs.frozen(kw_only=True)
class Row:
    """What became of one command.

    Attributes:
        payload: What a response to a plain call would hold: `result`, and where known `time`, `total`, `next`;
            None when the command was not run.
        error: The error, if there is one.
        soft: True when the error is a soft one of the whole request.
        built: The result as the caller's own type, alone in a tuple; None when he names none.
    """

    payload: Mapping[str, Any] | None = None
    error: SdkError | None = None
    soft: bool = False
    built: tuple[Any] | None = None


def parse_calls(calls: object, version: ApiVersion = ApiVersion.V2) -> tuple[Command, ...]:
    """Parses the caller's commands.

    Args:
        calls: A list, or a mapping by name, of rows ``(method,)``, ``(method, params)`` or
            ``{"method": …, "params": …, "as": …, "parallel": …}``.
        version: The API version that they are for. Only v3 takes lists in which some commands have no `as`.

    Raises:
        InvalidCallParamsError: A row is none of these, a method has no valid name, or two commands would have one name.
    """
    if is_mapping(calls):
        commands = tuple(_command(_name(key), row, named=True) for key, row in calls.items())
    elif is_items(calls):
        commands = tuple(_command(position, row, named=False) for position, row in enumerate(calls))
        _check_aliases([command.alias for command in commands], version)
    else:
        raise refused("A batch takes a list or a mapping of commands")
    names = [command.alias for command in commands if command.alias is not None]
    if len(set(names)) < len(names):
        raise refused("Two commands of the batch have the same name in `as`: one would replace the other")
    return commands


def refused(message: str, code: str = "B24OAUTH_INVALID_PARAMS") -> InvalidCallParamsError:
    """Creates the error for an invalid batch."""
    return InvalidCallParamsError(message, code=code, status=400, request_info=RequestInfo(method="batch"))


def check_size(commands: Sequence[Command]) -> None:
    """Checks that one request has 1 to 50 commands.

    Raises:
        InvalidCallParamsError: No commands, or more than 50.
    """
    if not commands:
        raise refused("Batch must contain at least one command", "B24OAUTH_BATCH_EMPTY")
    if len(commands) > MAX_COMMANDS:
        message = f"Batch too large: {len(commands)} commands (max: {MAX_COMMANDS}); use batch_by_chunk"
        raise refused(message, "B24OAUTH_BATCH_TOO_LARGE")


def batch_params(commands: Sequence[Command], version: ApiVersion, *, halt: bool) -> Any:
    """The parameters of the method `batch`.

    Args:
        commands: At most 50, encoded.
        version: The API version to speak.
        halt: Stop at the first command that fails.
    """
    if DIALECTS[version].batch_as_list:
        return [_v3_command(command, halt=halt) for command in commands]
    lines = [f"{command.method}?{command.query or ''}" for command in commands]
    if commands[0].alias is None:
        return {"halt": int(halt), "cmd": lines}
    names = [command.alias for command in commands]
    return {"halt": int(halt), "cmd": dict(zip(names, lines, strict=True))}


def read_rows(
    payload: Mapping[str, Any], commands: Sequence[Command], version: ApiVersion, *, request_id: str = ""
) -> list[Row | None]:
    """Returns the outcome of each command in order; None if the response has no entry for it.

    Args:
        payload: The decoded body of the response.
        commands: What was sent.
        version: The API version that was spoken.
        request_id: Identifier of the request, for the errors.
    """
    answer = payload.get("result")
    if DIALECTS[version].batch_as_list:
        return _v3_rows(answer, commands, payload.get("time"))
    parts: Mapping[str, Any] = answer if is_mapping(answer) else {}
    beside = [(part, entries) for part in ("time", "total", "next") if (entries := parts.get(f"result_{part}"))]
    failures, results = parts.get("result_error"), parts.get("result")
    rows: list[Row | None] = []
    for position, command in enumerate(commands):
        name = _name_in_answer(position, command)
        found, result = _entry(results, name)
        error = _row_error(_entry(failures, name)[1], result, query_of(command, request_id)) if failures else None
        if error is not None:
            rows.append(Row(error=error))
        else:
            rows.append(_v2_row(result, beside, name) if found else None)
    return rows


def times_by_method(payload: Mapping[str, Any], commands: Sequence[Command]) -> dict[str, Mapping[str, Any]]:
    """What a v2 answer says about the execution time of each inner method; the highest counts."""
    answer = payload.get("result")
    parts = answer.get("result_time") if is_mapping(answer) else None
    times: dict[str, Mapping[str, Any]] = {}
    for position, command in enumerate(commands):
        _, time = _entry(parts, _name_in_answer(position, command))
        if is_mapping(time) and _operating(time) >= _operating(times.get(command.method, {})):
            times[command.method] = time
    return times


def _operating(time: Mapping[str, Any]) -> float:
    value = time.get("operating")
    # Compare as int; converting a huge int to float raises OverflowError.
    return value if isinstance(value, (int, float)) else 0.0


# --- sending ---------------------------------------------------------------------------------------------------------


def _command(key: str | int, row: object, *, named: bool) -> Command:
    default = key if isinstance(key, str) else None
    alias: Any = None
    parallel: Any = None
    parts: Sequence[Any]
    if is_mapping(row):
        alias, parallel = row.get("as"), row.get("parallel")
        parts = [row.get("method"), row.get("params")]
    elif is_sequence(row) and 1 <= len(row) <= 2:
        parts = [*row, None]
    else:
        raise refused(f"Command {key}: must be (method, params) or a mapping with `method`", _ROW_FAIL)
    method, params = parts[0], parts[1]
    method = _checked_method(key, method)
    if is_sequence(params):
        params = dict(enumerate(params))
    elif params is not None and not is_mapping(params):
        raise refused(f"Command {key} ({method}): its params must be a mapping", _ROW_FAIL)
    if alias is not None and not isinstance(alias, str):
        raise refused(f"Command {key} ({method}): its `as` must be a name", _ROW_FAIL)
    return Command(
        key=key, alias=alias or (default if named else None), method=method, params=params or {}, parallel=parallel
    )


def _name(key: object) -> str:
    if not isinstance(key, str) or not key:
        raise refused("The names of a batch's commands must be texts")
    return key


def _checked_method(key: str | int, method: object) -> str:
    try:
        return checked_method(method)
    except InvalidCallParamsError as error:
        found = error
    named = isinstance(method, str) and method
    raise refused(f"Command {key}: {found.message}", found.code if named else _ROW_FAIL)


def _check_aliases(aliases: Sequence[str | None], version: ApiVersion) -> None:
    if DIALECTS[version].batch_as_list:
        return  # which answers in the order of the commands
    if any(alias is None for alias in aliases) and any(alias is not None for alias in aliases):
        raise refused("Give `as` to all commands of the list or to none: the others would have no name to be found by")


def _v3_command(command: Command, *, halt: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"method": command.method}
    if command.query:
        body["query"] = command.query
    if command.alias is not None:
        body["as"] = command.alias
    return body | {"parallel": (not halt) if command.parallel is None else command.parallel}


# --- answers ---------------------------------------------------------------------------------------------------------


def _v2_row(result: object, beside: Sequence[tuple[str, object]], name: str) -> Row:
    payload: dict[str, Any] = {"result": result}
    for part, entries in beside:
        known, value = _entry(entries, name)
        if known:
            payload[part] = value
    return Row(payload=payload)


def _v3_rows(answer: object, commands: Sequence[Command], time: object) -> list[Row | None]:
    by_name = [_entry(answer, _name_in_answer(position, command)) for position, command in enumerate(commands)]
    by_place = [_entry(answer, str(position)) for position in range(len(commands))]
    # Named commands may also be answered by index; unnamed commands always are.
    numbered = is_list(answer) or (all(found for found, _ in by_place) and not all(found for found, _ in by_name))
    beside = {} if time is None else {"time": time}  # of the whole batch: v3 gives no times of single commands
    return [
        Row(payload={"result": result, **beside}) if found else None
        for found, result in (by_place if numbered else by_name)
    ]


def _name_in_answer(position: int, command: Command) -> str:
    return str(position) if command.alias is None else command.alias


def _entry(container: object, name: str) -> tuple[bool, Any]:
    """Finds a command's part: PHP writes a map with the keys 0 to n as a list, and an empty map as an empty list."""
    if is_mapping(container):
        return name in container, container.get(name)
    if is_list(container) and _NUMBER.fullmatch(name) and int(name) < len(container):
        return True, container[int(name)]
    return False, None


def _row_error(failure: object, result: object, query: AjaxQuery) -> AjaxError | None:
    """The error of one command: its entry in `result_error` is the whole of v2's error, or only its `error`."""
    if failure is None:
        return None
    body: Mapping[str, Any] = {"error": failure}
    if is_mapping(failure) and ("error" in failure or "error_description" in failure):
        # An entry in result_error means that the command failed, even without an error code.
        body = {**failure, "error": "" if failure.get("error") is None else failure["error"]}
    return error_in({**body, "result": result}, 200, query)


def query_of(command: Command, request_id: str) -> AjaxQuery:
    """The request of a command, as of a plain call."""
    return AjaxQuery(method=command.method, params=command.params, request_id=request_id)
