"""An application, or one client, within FastAPI."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from b24oauth.apps.app import B24App
from b24oauth.apps.pages import Session
from b24oauth.apps.verifying import NotGenuineError
from b24oauth.client import B24OAuth
from b24oauth.contrib.asgi import asgi

try:
    from fastapi import FastAPI, HTTPException, Request
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        'b24oauth.contrib.fastapi needs fastapi: pip install "b24oauth[fastapi]"', name=missing.name
    ) from missing

__all__ = ["client", "lifespan_client", "portal_client", "session_of", "setup"]

_STATE: Final = "b24oauth_client"
_UNAUTHORIZED: Final = 401

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def setup(web: FastAPI, app: B24App, *, path: str = "/bitrix24") -> None:
    """Serves the application below a path, and closes it at shutdown.

    Args:
        web: The web application.
        app: The application.
        path: Where events and pages arrive.
    """
    web.mount("/" + path.strip("/"), asgi(app))
    inner = web.router.lifespan_context

    @asynccontextmanager
    async def lifespan(web: FastAPI) -> AsyncGenerator[Any]:
        async with app, inner(web) as state:
            yield state

    web.router.lifespan_context = lifespan


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
        raise HTTPException(_UNAUTHORIZED, reason, {"WWW-Authenticate": "Bearer"})

    return session


def portal_client(app: B24App) -> Callable[[Request], Awaitable[B24OAuth]]:
    """A dependency: the client of the portal whose user speaks, see `session_of`.

    Args:
        app: The application; it needs a `session_key`.
    """
    session = session_of(app)

    async def dependency(request: Request) -> B24OAuth:
        return await app.portals.get(session(request).member_id)

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
