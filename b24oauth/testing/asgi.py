"""The fake portal as ASGI sees it: messages in, messages out, and a cut connection where a fault wants one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from b24oauth.testing.messages import Answer, DroppedConnectionError, RefusedConnectionError, Request

__all__ = ["ABORT", "run_asgi"]

ABORT = "b24oauth.testing.abort"

Respond = Callable[[Request], Awaitable[Answer]]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def run_asgi(respond: Respond, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """Answers one ASGI connection.

    Args:
        respond: Answers one request.
        scope: The connection; its state holds under `ABORT` what cuts it, where the server offers that.
        receive: Gives the parts of the request.
        send: Takes the parts of the answer.

    Raises:
        ValueError: The connection is neither HTTP nor the server's lifespan.
        DroppedConnectionError: The server offers no way to cut a connection.
        RefusedConnectionError: The same, for a connection that should have been refused.
    """
    if scope["type"] == "lifespan":
        await _run_lifespan(receive, send)
    elif scope["type"] == "http":
        await _run_http(respond, scope, receive, send)
    else:
        raise ValueError(f"the fake portal speaks HTTP only, not {scope['type']}")


async def _run_lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"].removeprefix("lifespan.")
        await send({"type": f"lifespan.{event}.complete"})
        if event == "shutdown":
            return


async def _run_http(respond: Respond, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    request = await _read_request(scope, receive)
    try:
        answer = await _unless_gone(respond(request), receive)
    except (DroppedConnectionError, RefusedConnectionError):
        await _cut(scope, receive)
        return
    if answer is None:
        return
    await _send_answer(answer, send)
    if answer.breaks_after is not None:
        await _break_off(answer, scope, receive)


async def _read_request(scope: MutableMapping[str, Any], receive: Receive) -> Request:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return Request(
        http_method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("ascii"),
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
        body=bytes(body),
    )


async def _unless_gone(responding: Awaitable[Answer], receive: Receive) -> Answer | None:
    """The answer, or None when the client hangs up before: a fault may never answer."""
    answering = asyncio.ensure_future(responding)
    await asyncio.sleep(0)
    if answering.done():
        return answering.result()
    hanging_up = asyncio.ensure_future(receive())
    try:
        await asyncio.wait({answering, hanging_up}, return_when=asyncio.FIRST_COMPLETED)
        return answering.result() if answering.done() else None
    finally:
        for waiting in (answering, hanging_up):
            waiting.cancel()
        await asyncio.gather(answering, hanging_up, return_exceptions=True)


async def _cut(scope: MutableMapping[str, Any], receive: Receive) -> None:
    abort = scope.get("state", {}).get(ABORT)
    if abort is None:
        raise DroppedConnectionError("this server offers no way to cut a connection; use FakePortal.serve()")
    abort()
    # The server must see the connection gone before the application ends, else it would answer 500 itself.
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_answer(answer: Answer, send: Send) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    headers.append((b"content-length", str(len(answer.body)).encode("ascii")))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    broken = answer.breaks_after is not None
    await send({"type": "http.response.body", "body": answer.body[: answer.breaks_after], "more_body": broken})


async def _break_off(answer: Answer, scope: MutableMapping[str, Any], receive: Receive) -> None:
    if not answer.stalls:
        await _cut(scope, receive)
        return
    while (await receive())["type"] != "http.disconnect":
        pass
