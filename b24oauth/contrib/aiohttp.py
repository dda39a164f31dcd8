"""An application, or one client, within a web application of aiohttp."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

from b24oauth.apps.app import B24App
from b24oauth.apps.http import Request
from b24oauth.apps.pages import Session
from b24oauth.apps.verifying import NotGenuineError
from b24oauth.client import B24OAuth
from b24oauth.errors import UnknownPortalError
from b24oauth.protocol.forms import MAX_FORM_SIZE

try:
    from aiohttp import web
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        'b24oauth.contrib.aiohttp needs aiohttp: pip install "b24oauth[web-aiohttp]"', name=missing.name
    ) from missing

__all__ = ["B24APP", "B24CLIENT", "client_context", "portal_client", "session_of", "setup"]

B24APP: Final = web.AppKey("b24app", B24App)
"""Key of the application in aiohttp's, for other handlers."""
B24CLIENT: Final = web.AppKey("b24client", B24OAuth)
"""Key of the client of `client_context`."""


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
    for served in (root, root.rstrip("/") + "/{tail:.*}"):
        web_app.router.add_route("GET", served, serve)
        web_app.router.add_route("POST", served, serve)
    web_app.on_cleanup.append(close)


def session_of(request: web.Request) -> Session:
    """Who speaks in a request of the application's own front end.

    The front end sends `Page.session` in the header ``Authorization: Bearer …``.

    Args:
        request: The request; its web application was set up with a `B24App` that has a `session_key`.

    Raises:
        HTTPUnauthorized: The session is missing, forged or too old.
    """
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    try:
        return request.config_dict[B24APP].session(text if scheme.lower() == "bearer" else "")
    except NotGenuineError as error:
        reason = error.message
    raise _unauthorized(reason)


async def portal_client(request: web.Request) -> B24OAuth:
    """The client of the portal whose user speaks in a request, see `session_of`.

    Args:
        request: The request.

    Raises:
        HTTPUnauthorized: The session is missing, forged or too old, or the portal has removed the application.
        StoreError: The store cannot be read.
    """
    session = session_of(request)
    try:
        return await request.config_dict[B24APP].portals.get(session.member_id)
    except UnknownPortalError as error:
        reason = error.message
    raise _unauthorized(reason)


def client_context(make: Callable[[], B24OAuth]) -> Callable[[web.Application], AsyncIterator[None]]:
    """One client, for programs of one portal: ``web_app.cleanup_ctx.append(client_context(make))``.

    Handlers find it as ``request.config_dict[B24CLIENT]``. It is closed with the web application.

    Args:
        make: Makes the client.
    """

    async def context(web_app: web.Application) -> AsyncIterator[None]:
        async with make() as b24:
            web_app[B24CLIENT] = b24
            yield

    return context


def _unauthorized(reason: str) -> web.HTTPUnauthorized:
    return web.HTTPUnauthorized(text=reason, headers={"WWW-Authenticate": "Bearer"})
