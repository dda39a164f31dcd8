"""Up to 50 commands in one request, or any number in several."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar, Unpack, overload

import attrs

from b24oauth.actions.options import BatchOptions, ChunkOptions, checked, http_for
from b24oauth.errors import AjaxError, IncompleteBatchError, InvalidDataError, SdkError
from b24oauth.protocol.batch import (
    Call,
    Calls,
    Command,
    Row,
    batch_params,
    check_size,
    parse_calls,
    query_of,
    read_rows,
    times_by_method,
)
from b24oauth.protocol.batch_requests import Requests, make_requests
from b24oauth.protocol.dialects import DIALECTS
from b24oauth.rest.client import HttpClient
from b24oauth.rest.retry import is_refused_command
from b24oauth.result import AjaxResult, Result
from b24oauth.rows import check_row_type, structure_row
from b24oauth.shapes import is_mapping

__all__ = ["Batch", "BatchByChunk"]

T = TypeVar("T")
_CONCURRENCY: Final = 4


@attrs.frozen(kw_only=True)
class _Options:
    """Options that apply to all requests of a batch."""

    halt: bool
    as_results: bool
    request_id: str
    deadline: float | None
    idempotent: bool | None
    repeat_refused: bool
    allow_text_references: bool
    row_type: Any = None

    def time_left(self) -> float | None:
        return None if self.deadline is None else max(0.0, self.deadline - asyncio.get_running_loop().time())


class Batch:
    """`actions.v2.batch` and `actions.v3.batch`.

    Args:
        http: Makes REST calls of one API version.
    """

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    @overload
    async def make(
        self, calls: Mapping[str, Call], *, result_type: type[T], **options: Unpack[BatchOptions]
    ) -> Result[dict[str, T]]: ...

    @overload
    async def make(
        self, calls: Sequence[Call], *, result_type: type[T], **options: Unpack[BatchOptions]
    ) -> Result[list[T | None]]: ...

    @overload
    async def make(self, calls: Calls, **options: Unpack[BatchOptions]) -> Result[Any]: ...

    async def make(self, calls: Calls, *, result_type: Any = None, **options: Unpack[BatchOptions]) -> Result[Any]:
        """Runs up to 50 commands in one request.

        Since it is one request, a command containing text that looks like a reference to another command is rejected,
        regardless of `is_halt_on_error`. `batch_by_chunk` sends such a command as a separate call instead.

        Args:
            calls: A list, or a mapping by name, of rows ``(method,)``, ``(method, params)`` or
                ``{"method": …, "params": …}``. References to earlier commands are made with `BatchRefV2` or
                `BatchRefV3`.
            result_type: An attrs class, dataclass or TypedDict to build each result as.
            options: See `BatchOptions`.

        Returns:
            The results in the caller's order: If `calls` is a list: a list with None for commands that failed or were
            not run. If it is a mapping: a dict without those commands. Errors are under the caller's names or
            positions.

        Raises:
            InvalidCallParamsError: There are no commands or more than 50, or a command has an unsupported value, an
                invalid reference, or text that looks like a reference. Nothing was sent.
            IncompleteBatchError: The response has no result for a command; the other results are in `error.result`.
            AjaxError: The request as a whole failed; the class tells why.

        Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/batch.html
        """
        known = checked(options, BatchOptions, "batch.make")
        http = http_for(self._http, known)
        version = http.api_version
        parsed = parse_calls(calls, version)
        check_size(parsed)
        rules = _rules(http, known, result_type)
        allowed = rules.allow_text_references
        commands = make_requests(parsed, version, allow_text_references=allowed, may_leave=False).commands
        with http.operation():
            outcome = await _run(http, commands, rules)
        as_list = not is_mapping(calls)
        if isinstance(outcome, AjaxResult):
            failed: Result[Any] = Result([] if as_list else {})
            for key, error in outcome.get_errors_by_key().items():
                failed.add_error(error, key)
            return failed
        result = _assembled(commands, outcome, rules, as_list=as_list)
        _check_complete(self._http, commands, outcome, result, halt=rules.halt)
        return result


class BatchByChunk:
    """`actions.v2.batch_by_chunk` and `actions.v3.batch_by_chunk`.

    Args:
        http: Makes REST calls of one API version.
    """

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    @overload
    async def make(
        self, calls: Mapping[str, Call], *, result_type: type[T], **options: Unpack[ChunkOptions]
    ) -> Result[dict[str, T]]: ...

    @overload
    async def make(
        self, calls: Sequence[Call], *, result_type: type[T], **options: Unpack[ChunkOptions]
    ) -> Result[list[T | None]]: ...

    @overload
    async def make(self, calls: Calls, **options: Unpack[ChunkOptions]) -> Result[Any]: ...

    async def make(self, calls: Calls, *, result_type: Any = None, **options: Unpack[ChunkOptions]) -> Result[Any]:
        """Runs any number of commands, 50 in a request.

        In v2 and without a halt, a command whose text looks like a reference to another command is sent as a call of
        its own, for which the portal fills in nothing; its result stands among the others. Otherwise it is refused.

        Args:
            calls: As for `batch.make`; a command can only refer to commands in the same chunk of 50.
            result_type: An attrs class, dataclass or TypedDict to build each result as.
            options: How the requests are made; see `ChunkOptions`. With `is_halt_on_error=False`, several requests run
                concurrently.

        Returns:
            As `batch.make`, for all commands together. If a whole request fails, its error is reported for each of its
            commands; results of other requests are kept.

        Raises:
            InvalidCallParamsError: A command is invalid, see `batch.make`; nothing was sent.
            IncompleteBatchError: A response leaves a command out; what came is in the error's `result`.
            RefreshTokenError: The pair could not be renewed, and no request was made.
            TokenPersistenceError: The renewed pair could not be saved, and no request was made.

        Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/batch.html
        """
        known = checked(options, ChunkOptions, "batch_by_chunk.make")
        if "max_attempts" in known:
            rest: Any = {name: value for name, value in known.items() if name != "max_attempts"}
            return await BatchByChunk(http_for(self._http, known)).make(calls, result_type=result_type, **rest)
        version = self._http.api_version
        parsed = parse_calls(calls, version)
        rules = _rules(self._http, known, result_type)
        requests = make_requests(
            parsed,
            version,
            allow_text_references=rules.allow_text_references,
            may_leave=not rules.halt and DIALECTS[version].text_references,
        )
        with self._http.operation():
            if rules.halt:
                rows = await self._in_turn(requests, rules)
            else:
                rows = await self._at_once(requests, rules, known.get("concurrency", _CONCURRENCY))
        _raise_what_kept_all_from_running(rows)
        result = _assembled(requests.commands, rows, rules, as_list=not isinstance(calls, Mapping))
        _check_complete(self._http, requests.commands, rows, result, halt=rules.halt)
        return result

    async def _in_turn(self, requests: Requests, options: _Options) -> list[Row | None]:
        rows: list[Row | None] = []
        for positions in requests.batched:
            outcome = await self._chunk([requests.commands[position] for position in positions], options)
            rows += outcome
            if any(row is None or (row.error is not None and not row.soft) for row in outcome):
                break
        return rows + [None] * (len(requests.commands) - len(rows))

    async def _at_once(self, requests: Requests, options: _Options, concurrency: int) -> list[Row | None]:
        gate = asyncio.Semaphore(max(1, concurrency))
        rows: list[Row | None] = [None] * len(requests.commands)

        async def send(positions: Sequence[int]) -> None:
            async with gate:
                outcome = await self._chunk([requests.commands[position] for position in positions], options)
            for position, row in zip(positions, outcome, strict=True):
                rows[position] = row

        async def send_apart(position: int) -> None:
            async with gate:
                rows[position] = await self._call(requests.commands[position], options)

        async with asyncio.TaskGroup() as group:
            for positions in requests.batched:
                group.create_task(send(positions))
            for position in requests.apart:
                group.create_task(send_apart(position))
        return rows

    async def _chunk(self, chunk: Sequence[Command], options: _Options) -> list[Row | None]:
        try:
            outcome = await _run(self._http, chunk, options)
        except SdkError as error:
            return [Row(error=error) for _ in chunk]
        if isinstance(outcome, AjaxResult):
            # A soft error of one request does not affect the next request, so go on.
            errors = [failure for failure in outcome.get_errors() if isinstance(failure, SdkError)]
            return [Row(error=errors[0], soft=True) for _ in chunk]
        return outcome

    async def _call(self, command: Command, options: _Options) -> Row:
        """Sends a command as a call of its own."""
        try:
            answer = await self._http.call(
                command.method,
                command.params,
                request_id=options.request_id,
                timeout=options.time_left(),
                idempotent=options.idempotent,
            )
        except SdkError as error:
            return Row(error=error)
        errors = [failure for failure in answer.get_errors() if isinstance(failure, SdkError)]
        return Row(error=errors[0]) if errors else Row(payload=answer.payload)


def _raise_what_kept_all_from_running(rows: Sequence[Row | None]) -> None:
    """Raises why no request could be made at all, for example that the token pair is dead."""
    errors = [row.error for row in rows if row is not None]
    if errors and errors[0] is not None and not any(error is None or isinstance(error, AjaxError) for error in errors):
        raise errors[0]


def _rules(http: HttpClient, options: Mapping[str, Any], row_type: Any) -> _Options:
    if row_type is not None:
        check_row_type(row_type)
    loop, timeout = http.enter_loop(), options.get("timeout")
    return _Options(
        halt=options.get("is_halt_on_error", True),
        as_results=options.get("return_ajax_result", False),
        request_id=options.get("request_id") or str(uuid.uuid4()),
        deadline=None if timeout is None else loop.time() + timeout,
        idempotent=options.get("idempotent"),
        repeat_refused=options.get("repeat_refused", True),
        allow_text_references=options.get("allow_text_references", False),
        row_type=row_type,
    )


async def _run(http: HttpClient, commands: Sequence[Command], options: _Options) -> list[Row | None] | AjaxResult[Any]:
    """The rows of one request, or its own error; commands that the portal refused for now are sent again."""
    rows: list[Row | None] = [None] * len(commands)
    pending, refusals = list(range(len(commands))), http.refusals()
    for attempt in range(max(1, http.max_attempts)):
        token = http.current_token()
        sent = [commands[position] for position in pending]
        try:
            answer = await _send(http, sent, options)
            if not answer.is_success:
                if len(pending) == len(commands):
                    return answer
                answer.raise_for_error()
            answered = read_rows(answer.payload, sent, http.api_version, request_id=options.request_id)
            for position, row in zip(pending, answered, strict=True):
                rows[position] = row
            refused = [(commands[p].method, row.error) for p in pending if (row := rows[p]) and _is_refused(row)]
            pending = _to_repeat(commands, rows, pending) if options.repeat_refused else []
            if not refused or not pending or attempt + 1 >= http.max_attempts:
                break
            errors = [(method, error) for method, error in refused if error is not None]
            if not await refusals.wait(errors, attempt=attempt, token=token, timeout=options.time_left()):
                break
        except SdkError as error:
            if len(pending) == len(commands):
                raise
            # If the retry of these commands fails, keep the results of the other commands.
            for position in pending:
                rows[position] = Row(error=error)
            break
    return rows


async def _send(http: HttpClient, commands: Sequence[Command], options: _Options) -> AjaxResult[Any]:
    return await http.call(
        "batch",
        batch_params(commands, http.api_version, halt=options.halt),
        request_id=options.request_id,
        timeout=options.time_left(),
        idempotent=options.idempotent,
        inner_methods=[command.method for command in commands],
        times_of=lambda payload: times_by_method(payload, commands),
    )


def _is_refused(row: Row) -> bool:
    return row.error is not None and is_refused_command(row.error)


def _to_repeat(commands: Sequence[Command], rows: Sequence[Row | None], pending: Sequence[int]) -> list[int]:
    """Positions of the commands to send again: those refused for now, and those a refusal kept from running."""
    refused = [position for position in pending if (row := rows[position]) is not None and _is_refused(row)]
    halted = [position for position in pending if rows[position] is None and refused]
    again = sorted({*refused, *halted})
    # A command that refers to an earlier result cannot be sent in a request without that earlier command.
    return [] if any(commands[position].refers for position in again) else again


def _assembled(
    commands: Sequence[Command], rows: Sequence[Row | None], options: _Options, *, as_list: bool
) -> Result[Any]:
    rows = [_typed(command, row, options) for command, row in zip(commands, rows, strict=True)]
    given = {
        command.key: _given(command, row, options)
        for command, row in zip(commands, rows, strict=True)
        if _shown(row, options)
    }
    data: Any = [given.get(command.key) for command in commands] if as_list else given
    result: Result[Any] = Result(data)
    for command, row in zip(commands, rows, strict=True):
        if row is not None and row.error is not None:
            result.add_error(row.error, str(command.key))
    return result


def _typed(command: Command, row: Row | None, options: _Options) -> Row | None:
    """The row with its result built; one that does not fit fails by itself, since all of them were executed."""
    if row is None or row.error is not None or options.row_type is None:
        return row
    try:
        result = (row.payload or {}).get("result")
        built = structure_row(result, options.row_type, method=command.method, request_id=options.request_id)
    except InvalidDataError as error:
        return attrs.evolve(row, error=error)
    return attrs.evolve(row, built=(built,))


def _shown(row: Row | None, options: _Options) -> bool:
    return row is not None and (row.error is None or options.as_results)


def _given(command: Command, row: Row | None, options: _Options) -> Any:
    payload = (row.payload if row is not None else None) or {}
    error = row.error if row is not None else None
    built = row.built if row is not None else None
    if not options.as_results:
        return payload.get("result") if built is None else built[0]
    query = query_of(command, options.request_id)
    made: AjaxResult[Any] = AjaxResult(payload, query=query, status=error.status if error else 200, error=error)
    return made if built is None else made.with_result(built[0])


def _check_complete(
    http: HttpClient, commands: Sequence[Command], rows: Sequence[Row | None], result: Result[Any], *, halt: bool
) -> None:
    """Raises IncompleteBatchError if a command has no result and no earlier failure explains it."""
    if halt and any(row is not None and row.error is not None for row in rows):
        return  # what came after the failure was not run
    for position, (command, row) in enumerate(zip(commands, rows, strict=True)):
        if row is None:
            version = http.api_version.upper()
            raise IncompleteBatchError(
                f"The response to the batch has no command {position}, {command.method}; see `result` for the others",
                code=f"B24OAUTH_INTERACTION_BATCH_STRATEGY_{version}_EMPTY_COMMAND_RESPONSE",
                result=result,
            )
