"""An application within a web application of aiohttp."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from b24oauth.apps.app import B24App
from b24oauth.apps.http import Request
from b24oauth.protocol.forms import MAX_FORM_SIZE

__all__ = ["B24APP", "setup"]

B24APP: Final = web.AppKey("b24app", B24App)
"""Key of the application in aiohttp's, for other handlers."""


def setup(web_app: web.Application, app: B24App, *, path: str = "/bitrix24") -> None:
    """Serves the application below a path, and closes it with aiohttp's.

    Args:
        web_app: The web application.
        app: The application.
        path: Where events and pages arrive.
    """
    root = "/" + path.strip("/")

    async def serve(request: web.Request) -> web.Response:
        if (request.content_length or 0) > MAX_FORM_SIZE:
            return web.Response(status=413)
        body = await request.content.read(MAX_FORM_SIZE + 1)
        while not request.content.at_eof() and len(body) <= MAX_FORM_SIZE:
            body += await request.content.read(MAX_FORM_SIZE + 1)
        response = await app.handle(
            Request(
                path=request.path.removeprefix(root),
                query=request.query_string,
                content_type=request.headers.get("Content-Type", ""),
                body=body,
            )
        )
        headers = {"Content-Type": response.content_type, **response.headers}
        return web.Response(status=response.status, body=response.body, headers=headers)

    async def close(_: web.Application) -> None:
        await app.aclose()

    web_app[B24APP] = app
    web_app.router.add_route("*", root, serve)
    web_app.router.add_route("*", root.rstrip("/") + "/{tail:.*}", serve)
    web_app.on_cleanup.append(close)
