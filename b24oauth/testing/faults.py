"""Faults that `FakePortal.inject` puts between a request and its answer.

A fault is an async function that gets the way to the real answer and returns, changes or withholds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from b24oauth.testing.messages import Answer, DroppedConnectionError, RefusedConnectionError, dumps

__all__ = [
    "Fault",
    "Faults",
    "break_off",
    "drop_after",
    "drop_before",
    "empty",
    "garbage",
    "hang",
    "html",
    "latency",
    "refuse",
    "status",
    "truncated_json",
]

Process = Callable[[], Awaitable[Answer]]
Fault = Callable[[Process], Awaitable[Answer]]


def latency(seconds: float) -> Fault:
    """The request is processed at once and answered `seconds` later."""

    async def fault(process: Process) -> Answer:
        answer = await process()
        await asyncio.sleep(seconds)
        return answer

    return fault


def drop_before() -> Fault:
    """The connection is cut and the request is not processed."""

    async def fault(_: Process) -> Answer:
        raise DroppedConnectionError

    return fault


def drop_after() -> Fault:
    """The request is processed and the connection is cut instead of an answer."""

    async def fault(process: Process) -> Answer:
        await process()
        raise DroppedConnectionError

    return fault


def refuse() -> Fault:
    """The connection is refused before anything is sent; on loopback, where it stands already, it is cut."""

    async def fault(_: Process) -> Answer:
        raise RefusedConnectionError

    return fault


def hang() -> Fault:
    """The request is processed and never answered."""

    async def fault(process: Process) -> Answer:
        await process()
        await asyncio.get_running_loop().create_future()
        raise DroppedConnectionError

    return fault


def status(code: int, body: Any = None, *, error: str | None = None, description: str = "") -> Fault:
    """An answer with this HTTP status; the request is not processed.

    Args:
        code: HTTP status.
        body: The JSON body; without one the v2 error shape is built from `error` and `description`.
        error: Error code.
        description: Error description.
    """
    if body is None and error is not None:
        body = {"error": error, "error_description": description}
    answer = Answer(status=code, body=b"" if body is None else dumps(body))

    async def fault(_: Process) -> Answer:
        return answer

    return fault


def html(code: int = 502, text: str = "<html><body><h1>Bad Gateway</h1></body></html>") -> Fault:
    """A proxy's HTML page with this HTTP status; the request is not processed."""
    answer = Answer(status=code, body=text.encode(), headers=(("content-type", "text/html; charset=utf-8"),))

    async def fault(_: Process) -> Answer:
        return answer

    return fault


def truncated_json() -> Fault:
    """The request is processed; the second half of the answer's JSON is missing."""
    return _rewritten(lambda body: body[: len(body) // 2])


def empty() -> Fault:
    """The request is processed; the answer has no body."""
    return _rewritten(lambda _: b"")


def break_off(after: int, *, stall: bool = False) -> Fault:
    """The request is processed; the connection is cut in the middle of the answer's body.

    Args:
        after: Bytes of the body that arrive.
        stall: Leave the connection open instead, and send nothing more.
    """

    async def fault(process: Process) -> Answer:
        return attrs.evolve(await process(), breaks_after=after, stalls=stall)

    return fault


def garbage(body: bytes = b"\x80\x00\xff not json \xfe") -> Fault:
    """The request is processed; the answer's body is not JSON and not UTF-8."""
    return _rewritten(lambda _: body)


def _rewritten(rewrite: Callable[[bytes], bytes]) -> Fault:
    async def fault(process: Process) -> Answer:
        answer = await process()
        return attrs.evolve(answer, body=rewrite(answer.body))

    return fault


@attrs.define(eq=False, kw_only=True)
class _Injection:
    fault: Fault
    on: str | None
    times: int | None
    after: int


@attrs.define(eq=False)
class Faults:
    """The faults that still wait for their request."""

    _injections: list[_Injection] = attrs.field(init=False, factory=list[_Injection])

    def add(self, fault: Fault, *, on: str | None, times: int | None, after: int) -> None:
        """Queues a fault; the parameters are those of `FakePortal.inject`."""
        self._injections.append(_Injection(fault=fault, on=on and on.lower(), times=times, after=after))

    def take(self, method: str) -> Fault | None:
        """The fault for a request of this method, if one is due; one request meets one fault."""
        for injection in self._injections:
            if injection.on not in {None, method}:
                continue
            if injection.after > 0:
                injection.after -= 1
                continue
            return self._use(injection)
        return None

    def clear(self) -> None:
        """Forgets all faults."""
        self._injections.clear()

    def _use(self, injection: _Injection) -> Fault:
        if injection.times is not None:
            injection.times -= 1
            if injection.times <= 0:
                self._injections.remove(injection)
        return injection.fault
