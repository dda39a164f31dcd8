"""An application as an ASGI app: for uvicorn, or mounted in FastAPI, Starlette and Litestar."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from b24oauth.apps.app import B24App
from b24oauth.apps.http import Request, Response
from b24oauth.protocol.forms import MAX_FORM_SIZE

__all__ = ["asgi"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Hook = Callable[[], Awaitable[object]]


def asgi(app: B24App, *, on_startup: Hook | None = None, on_shutdown: Hook | None = None) -> AsgiApp:
    """Makes an ASGI app, to be served by uvicorn or mounted in FastAPI, Starlette or Litestar.

    Served by itself, it closes the application at shutdown. Mounted in another one, close it in the lifespan of that;
    the hooks are not called then.

    Args:
        app: The application.
        on_startup: Is awaited before the first request, for example to connect to a queue.
        on_shutdown: Is awaited when the application is closed.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(app, receive, send, on_startup, on_shutdown)
        elif scope["type"] == "http":
            await _respond(await _answered(app, scope, receive), send)
        else:
            raise NotImplementedError(f"{scope['type']} is not served here")

    return serve


async def _answered(app: B24App, scope: Scope, receive: Receive) -> Response:
    if scope["method"] not in ("GET", "POST"):
        return Response(status=405, headers={"Allow": "GET, POST"})
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return Response(status=400)
        body += message.get("body", b"")
        if len(body) > MAX_FORM_SIZE:
            return Response(status=413)
        more = message.get("more_body", False)
    headers = {name.lower(): value for name, value in scope["headers"]}
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    request = Request(
        path=path,
        query=scope.get("query_string", b"").decode("ascii", "replace"),
        content_type=headers.get(b"content-type", b"").decode("latin-1"),
        body=bytes(body),
    )
    return await app.handle(request)


async def _respond(response: Response, send: Send) -> None:
    headers = {"content-type": response.content_type, "content-length": str(len(response.body)), **response.headers}
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": encoded})
    await send({"type": "http.response.body", "body": response.body})


async def _live(app: B24App, receive: Receive, send: Send, on_startup: Hook | None, on_shutdown: Hook | None) -> None:
    while True:
        message = await receive()
        is_startup = message["type"] == "lifespan.startup"
        event = "lifespan.startup" if is_startup else "lifespan.shutdown"
        try:
            if is_startup:
                await _called(on_startup)
            else:
                try:
                    await app.aclose()
                finally:
                    await _called(on_shutdown)
        except Exception as error:  # noqa: BLE001 - the server stops and shows it
            await send({"type": f"{event}.failed", "message": str(error)})
            return
        await send({"type": f"{event}.complete"})
        if not is_startup:
            return


async def _called(hook: Hook | None) -> None:
    if hook is not None:
        await hook()
