"""`FakeCloud`: several fake portals with one OAuth server, as an application of the market meets them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from b24oauth.models import B24OAuthSecret
from b24oauth.testing.asgi import Message, Receive, Send, run_asgi
from b24oauth.testing.brackets import parse_query
from b24oauth.testing.clock import as_clock
from b24oauth.testing.messages import Answer, Request
from b24oauth.testing.portal import FakePortal
from b24oauth.testing.tokens import make_secret

__all__ = ["FakeCloud"]

_TOKENS = ("refresh_token", "code", "auth")


class FakeCloud:
    """Portals with one OAuth server: one application, installed on all of them.

    Args:
        number: How many portals.
        secret: The application; None for the usual one of a fake portal.
        oauth_origin: Where the OAuth server is reached in process.
        options: Attributes of each `FakePortal`.

    Attributes:
        secret: The application.
        portals: The portals.
    """

    def __init__(
        self,
        number: int,
        *,
        secret: B24OAuthSecret | None = None,
        oauth_origin: str = "https://oauth.bitrix.info",
        **options: Any,
    ) -> None:
        self.secret = make_secret() if secret is None else secret
        clock = as_clock(options.pop("clock", None))
        self.portals = [
            FakePortal(
                clock=clock,
                secret=self.secret,
                origin=f"https://portal{index}.example",
                oauth_origin=oauth_origin,
                member_id=f"{index:032x}",
                realm=str(index),
                application_token=f"application-token-of-portal-{index}",
                **options,
            )
            for index in range(1, number + 1)
        ]
        self._oauth_origin = oauth_origin

    def __iter__(self) -> Iterator[FakePortal]:
        return iter(self.portals)

    def __getitem__(self, index: int) -> FakePortal:
        return self.portals[index]

    def __len__(self) -> int:
        return len(self.portals)

    @property
    def trusted_oauth_hosts(self) -> frozenset[str]:
        """What a client must trust: the OAuth server, and portals that are reached over plain http."""
        plain = {portal.origin for portal in self.portals if portal.origin.startswith("http:")}
        return frozenset(urlsplit(origin).netloc for origin in {self._oauth_origin, *plain})

    @asynccontextmanager
    async def serve(self, *, host: str = "127.0.0.1") -> AsyncGenerator[FakeCloud]:
        """Serves each portal, and the OAuth server, at a port of its own.

        Args:
            host: Address to listen at.

        Raises:
            ModuleNotFoundError: uvicorn is missing; the message says how to install it.
        """
        from b24oauth.testing.serving import serving  # noqa: PLC0415 - uvicorn is optional

        before = self._oauth_origin
        async with AsyncExitStack() as stack:
            self._oauth_origin = await stack.enter_async_context(serving(self, host, 0))
            for portal in self.portals:
                await stack.enter_async_context(portal.serve(host=host, oauth_origin=self._oauth_origin))
            try:
                yield self
            finally:
                self._oauth_origin = before

    async def respond(self, request: Request) -> Answer:
        """Answers a request to any of the portals or to the OAuth server, told by its host; what `transport` uses."""
        host = request.headers.get("host", "")
        for portal in self.portals:
            if host == urlsplit(portal.origin).netloc:
                return await portal.respond(request)
        return await self._of_token(request).respond(request)

    def _of_token(self, request: Request) -> FakePortal:
        """The portal that has issued the token in a request to the OAuth server, or any of them if none has."""
        params = parse_query(request.query) | parse_query(request.body.decode("utf-8", "replace"))
        tokens = [str(params[name]) for name in _TOKENS if params.get(name)]
        known = [portal for portal in self.portals for token in tokens if portal.knows(token)]
        return known[0] if known else self.portals[0]

    def transport(self) -> Any:
        """A transport for an `AsyncClient` that reaches all portals and the OAuth server in process."""
        from b24oauth.testing.transport import PortalTransport  # noqa: PLC0415 - the portals themselves need no httpx

        return PortalTransport(self.respond)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The ASGI application of the OAuth server."""
        await run_asgi(self.respond, scope, receive, send)
