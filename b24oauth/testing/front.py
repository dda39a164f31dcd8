"""Where requests arrive: faults meet them, they find the server they are for, and responses take their time."""

from __future__ import annotations

import asyncio
import inspect

import attrs

from b24oauth.testing.downloads import Downloads
from b24oauth.testing.faults import Faults
from b24oauth.testing.messages import Answer, Exchange, Request
from b24oauth.testing.oauth_server import Addresses, OAuthServer
from b24oauth.testing.recording import AUTHORIZE, TOKEN
from b24oauth.testing.rest import RestServer
from b24oauth.testing.web_pages import PageHandler

__all__ = ["Front"]

_NOT_FOUND = Answer(status=404, body=b"", headers=())
_GATEWAY_TIMEOUT = Answer(
    status=504,
    body=b"<html><head><title>504 Gateway Time-out</title></head></html>",
    headers=(("content-type", "text/html"),),
)


@attrs.frozen
class Front:
    """The servers of a portal at one address.

    Attributes:
        addresses: Where the portal is and was.
        rest: Answers REST calls.
        oauth: Answers for the OAuth server.
        downloads: Answers for files.
        faults: What goes wrong.
        pages: What a browser sees, by path without slashes at its ends.
    """

    addresses: Addresses
    rest: RestServer
    oauth: OAuthServer
    downloads: Downloads
    faults: Faults
    pages: dict[str, PageHandler] = attrs.field(factory=dict[str, PageHandler])

    async def answer(self, exchange: Exchange, latency: float, refresh_latency: float, limit: float) -> Answer:
        """Answers one request, or meets it with a fault.

        Args:
            exchange: The request.
            latency: Seconds between processing a REST request and its answer.
            refresh_latency: The same for requests to the OAuth server.
            limit: Seconds after which the portal ends a request.
        """

        async def process() -> Answer:
            # Processing comes first and at one go: a client that gives up while the answer is on its way changes
            # nothing.
            answer = await self._answer(exchange)
            seconds = refresh_latency if exchange.version == "oauth" else latency + exchange.seconds
            if seconds > 0:
                await asyncio.sleep(min(seconds, limit))
            return answer if seconds <= limit else _GATEWAY_TIMEOUT

        fault = self.faults.take(exchange.method)
        return await (process() if fault is None else fault(process))

    async def _answer(self, exchange: Exchange) -> Answer:
        of_oauth = self._of_oauth(exchange)
        if of_oauth is not None:
            return of_oauth
        if exchange.request.headers.get("host") in self.addresses.former:
            return self._moved(exchange.request)
        download = self.downloads.answer(exchange)
        if download is not None:
            return download
        if exchange.version == "oauth":
            return await self._page(exchange)
        return await self.rest.answer(exchange, exchange.version)

    async def _page(self, exchange: Exchange) -> Answer:
        page = self.pages.get(exchange.method)
        if page is None:
            return self.oauth.authorize(exchange) if exchange.method == AUTHORIZE else _NOT_FOUND
        shown = page(exchange.request)
        return await shown if inspect.isawaitable(shown) else shown

    def _of_oauth(self, exchange: Exchange) -> Answer | None:
        if exchange.method == TOKEN:
            return self.oauth.token(exchange)
        if exchange.method == "app.info" and self.oauth.is_at(exchange.request.headers.get("host", "")):
            return self.oauth.app_info(exchange)
        return None

    def _moved(self, request: Request) -> Answer:
        query = f"?{request.query}" if request.query else ""
        location = self.addresses.portal + request.path + query
        return Answer(
            status=302, body=b"<html></html>", headers=(("location", location), ("content-type", "text/html"))
        )
