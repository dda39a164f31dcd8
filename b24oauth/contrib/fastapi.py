"""An application, or one client, within FastAPI."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from b24oauth.apps.app import B24App
from b24oauth.apps.pages import Session
from b24oauth.apps.verifying import NotGenuineError
from b24oauth.client import B24OAuth
from b24oauth.errors import UnknownPortalError

try:
    from fastapi import FastAPI, HTTPException, Request

    from b24oauth.contrib.starlette import setup
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        'b24oauth.contrib.fastapi needs fastapi: pip install "b24oauth[fastapi]"', name=missing.name
    ) from missing

__all__ = ["client", "lifespan_client", "portal_client", "session_of", "setup"]

_STATE: Final = "b24oauth_client"
_UNAUTHORIZED: Final = 401

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def session_of(app: B24App) -> Callable[[Request], Session]:
    """A dependency: who speaks in a request of the application's own front end.

    The front end sends `Page.session` in the header ``Authorization: Bearer …``.

    Args:
        app: The application; it needs a `session_key`.
    """

    def session(request: Request) -> Session:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        try:
            return app.session(text if scheme.lower() == "bearer" else "")
        except NotGenuineError as error:
            reason = error.message
        raise _unauthorized(reason)

    return session


def portal_client(app: B24App) -> Callable[[Request], Awaitable[B24OAuth]]:
    """A dependency: the client of the portal whose user sends the request, see `session_of`.

    The response is 401 if the session is not valid, or if the portal has removed the application.

    Args:
        app: The application; it needs a `session_key`.
    """
    session = session_of(app)

    async def dependency(request: Request) -> B24OAuth:
        member_id = session(request).member_id
        try:
            return await app.portals.get(member_id)
        except UnknownPortalError as error:
            reason = error.message
        raise _unauthorized(reason)

    return dependency


def lifespan_client(make: Callable[[], B24OAuth]) -> Lifespan:
    """A lifespan with one client, for programs of one portal: ``FastAPI(lifespan=lifespan_client(make))``.

    Args:
        make: Makes the client.
    """

    @asynccontextmanager
    async def lifespan(web: FastAPI) -> AsyncGenerator[None]:
        async with make() as b24:
            setattr(web.state, _STATE, b24)
            yield

    return lifespan


def client(request: Request) -> B24OAuth:
    """A dependency: the client of `lifespan_client`."""
    b24: B24OAuth = getattr(request.app.state, _STATE)
    return b24


def _unauthorized(reason: str) -> HTTPException:
    return HTTPException(_UNAUTHORIZED, reason, {"WWW-Authenticate": "Bearer"})
