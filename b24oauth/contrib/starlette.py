"""An application within Starlette, or a framework that is built on it, such as FastAPI."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import attrs

from b24oauth.apps.app import B24App
from b24oauth.contrib.asgi import AsgiApp, Receive, Scope, Send, asgi

try:
    from starlette.applications import Starlette
    from starlette.routing import Route
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        'b24oauth.contrib.starlette needs starlette: pip install "b24oauth[starlette]"', name=missing.name
    ) from missing

__all__ = ["setup"]


def setup(web: Starlette, app: B24App, *, path: str = "/bitrix24") -> None:
    """Serves the application below a path, and closes it at shutdown.

    Args:
        web: The web application.
        app: The application.
        path: Where events and pages arrive.
    """
    root, serve = "/" + path.strip("/"), asgi(app)
    if root != "/":
        # A mount alone answers the path without a slash at its end by a redirect, which Bitrix24 does not follow.
        web.router.routes.append(Route(root, _Root(serve, root), methods=["GET", "POST"]))
    web.mount(root, serve)
    inner = web.router.lifespan_context

    @asynccontextmanager
    async def lifespan(web: Any) -> AsyncGenerator[Any]:
        async with app, inner(web) as state:
            yield state

    web.router.lifespan_context = lifespan


@attrs.frozen
class _Root:
    """Serves the path of the application itself."""

    serve: AsgiApp
    path: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.serve({**scope, "root_path": scope.get("root_path", "") + self.path}, receive, send)
