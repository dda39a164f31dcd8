"""The two kinds of batch: commands as query strings with `$result` in v2, a JSON array with `$ref` in v3."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs

from b24oauth.shapes import as_mapping, is_list, is_mapping
from b24oauth.testing.brackets import parse_query
from b24oauth.testing.messages import Call, Reply, RestError

__all__ = ["run_v2_batch", "run_v3_batch"]

Execute = Callable[[Call], Awaitable[Reply]]
Timing = Callable[[str], dict[str, Any]]

_MOST = 50
# A name in any case and everything up to the next space; only with a key in brackets it is a reference.
_REFERENCE = re.compile(r"\$(result|next|total|time|error)([^ \t-\r]*)", re.IGNORECASE)
_KEY = re.compile(r"\[([^\]]+)\]")
_FORBIDDEN = frozenset({"batch", "disk.folder.uploadfile", "disk.storage.uploadfile", "disk.file.download"})
_V3_ARGUMENT = "BITRIX_REST_V3_EXCEPTION_VALIDATION_REQUESTVALIDATIONEXCEPTION"


@attrs.define(eq=False)
class _V2Answer:
    results: dict[str, Any] = attrs.field(factory=dict[str, Any])
    errors: dict[str, Any] = attrs.field(factory=dict[str, Any])
    totals: dict[str, Any] = attrs.field(factory=dict[str, Any])
    nexts: dict[str, Any] = attrs.field(factory=dict[str, Any])
    times: dict[str, Any] = attrs.field(factory=dict[str, Any])

    def referable(self) -> dict[str, Any]:
        """What the values of later commands can refer to."""
        return {
            "result": self.results,
            "next": self.nexts,
            "total": self.totals,
            "time": self.times,
            "error": self.errors,
        }

    def as_php(self) -> dict[str, Any]:
        return {
            "result": _php_array(self.results),
            "result_error": _php_array(self.errors),
            "result_total": _php_array(self.totals),
            "result_next": _php_array(self.nexts),
            "result_time": _php_array(self.times),
        }


async def run_v2_batch(call: Call, execute: Execute, timing: Timing) -> Reply:
    """Runs the commands of a v2 batch, one after another.

    Args:
        call: The call of `batch`: `cmd` (list or map of `method?query`) and `halt`.
        execute: Runs one call.
        timing: The `time` of a method's answer.

    Raises:
        RestError: 400: there are no commands, or more than 50.

    Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/batch.html
    """
    commands = _commands(call.params.get("cmd"))
    halt = call.params.get("halt") not in (0, "0", "", None, [])
    answer = _V2Answer()
    for key, command in commands.items():
        method, _, query = command.partition("?")
        try:
            await _run_v2_command(key, _inner(call, method, query, answer.referable()), execute, answer)
        except RestError as error:
            answer.errors[key] = {"error": error.code, "error_description": error.text}
            if halt:
                break
        else:
            answer.times[key] = timing(method.lower())
    return Reply(result=answer.as_php())


def _commands(cmd: Any) -> dict[str, str]:
    pairs = enumerate(cmd) if is_list(cmd) else as_mapping(cmd).items()
    commands = {str(key): str(command) for key, command in pairs}
    if not commands:
        raise RestError("ERROR_ARGUMENT", "Argument 'cmd' is null or empty")
    if len(commands) > _MOST:
        raise RestError("ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded")
    return commands


def _inner(call: Call, method: str, query: str, referable: Mapping[str, Any]) -> Call:
    params = {name: _resolved(value, referable) for name, value in parse_query(query).items()}
    return attrs.evolve(call, method=_allowed(method.lower()), params=params, positional=False)


async def _run_v2_command(key: str, call: Call, execute: Execute, answer: _V2Answer) -> None:
    reply = await execute(call)
    answer.results[key] = reply.result
    if reply.total is not None:
        answer.totals[key] = reply.total
    if reply.next is not None:
        answer.nexts[key] = reply.next


def _allowed(method: str) -> str:
    if method in _FORBIDDEN:
        raise RestError("ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage")
    return method


def _resolved(value: Any, referable: Mapping[str, Any]) -> Any:
    if is_mapping(value):
        return {name: _resolved(child, referable) for name, child in value.items()}
    if is_list(value):
        return [_resolved(child, referable) for child in value]
    if not isinstance(value, str) or "$" not in value:
        return value
    resolved = value
    for found in _REFERENCE.finditer(value):
        path = _KEY.findall(found[2])
        if not path:
            continue
        referred = _followed(referable.get(found[1]), path)
        if found[0] == value:
            return referred
        # Inside of a text only text and numbers are filled in. What follows up to the next space is lost.
        if isinstance(referred, (str, int, float)) and referred != "":
            resolved = resolved.replace(found[0], str(referred))
    return resolved


def _followed(value: Any, path: list[str]) -> Any:
    for key in path:
        if is_mapping(value) and key in value:
            value = value[key]
        elif is_list(value) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return ""
    return "" if value is None else value


def _php_array(values: dict[str, Any]) -> dict[str, Any] | list[Any]:
    """PHP writes an array whose keys are 0, 1, 2 … as a list, and so an empty one."""
    if list(values) == [str(number) for number in range(len(values))]:
        return list(values.values())
    return values


async def run_v3_batch(call: Call, commands: Any, execute: Execute) -> Reply:
    """Runs the commands of a v3 batch; the first refusal refuses the whole batch.

    Args:
        call: The call of `batch`.
        commands: The body: `[{"method", "query", "as", "parallel"}, …]`.
        execute: Runs one call.

    Raises:
        RestError: The body is no such array, or what a command was refused with.
    """
    if not is_list(commands) or not commands:
        raise RestError(_V3_ARGUMENT, "The body of a batch is a JSON array of commands.")
    if len(commands) > _MOST:
        raise RestError("ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded")
    named: dict[str, Any] = {}
    results: list[Any] = []
    for number, command in enumerate(commands):
        reply = await execute(_v3_command(call, command, named))
        results.append(reply.result)
        named[str(as_mapping(command).get("as") or number)] = results[-1]
    return Reply(result=results)


def _v3_command(call: Call, command: Any, named: Mapping[str, Any]) -> Call:
    given = as_mapping(command)
    method = given.get("method")
    if not isinstance(method, str):
        raise RestError(_V3_ARGUMENT, "A command of a batch needs a method.", validation=("method",))
    params = {name: _dereferenced(value, named) for name, value in as_mapping(given.get("query")).items()}
    return attrs.evolve(call, method=_allowed(method.lower()), params=params, positional=False)


def _dereferenced(value: Any, named: Mapping[str, Any]) -> Any:
    if is_list(value):
        return [_dereferenced(child, named) for child in value]
    if not is_mapping(value):
        return value
    if set(value) == {"$ref"}:
        return _one(named, str(value["$ref"]))
    if set(value) == {"$refArray"}:
        return _many(named, str(value["$refArray"]))
    return {name: _dereferenced(child, named) for name, child in value.items()}


def _one(named: Mapping[str, Any], path: str) -> Any:
    alias, _, rest = path.partition(".")
    found = named.get(alias)
    if not rest and alias in named:
        return found
    # Both `task.item.id` and `task.id` lead to the id of the item.
    for inner in (found, as_mapping(found).get("item")):
        value = _followed(inner, rest.split("."))
        if value != "":
            return value
    raise _dangling(path)


def _many(named: Mapping[str, Any], path: str) -> list[Any]:
    alias, _, field = path.partition(".")
    rows = as_mapping(named.get(alias)).get("items")
    if not is_list(rows):
        raise _dangling(path)
    return [as_mapping(row).get(field.removeprefix("items.")) for row in rows]


def _dangling(path: str) -> RestError:
    return RestError(_V3_ARGUMENT, f"The reference {path} leads nowhere.", validation=(path,))
