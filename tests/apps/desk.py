"""An application and a portal side by side, for tests of applications."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from b24oauth.apps import B24App, Request, Response, SyncReport
from b24oauth.stores import MemoryStore, TokenKey
from b24oauth.testing import FakePortal, VirtualClock
from b24oauth.testing.applications import event_body, page_request
from tests.support.clients import UNLIMITED


class Desk:
    """A portal and an application that is to be installed on it."""

    def __init__(self, app: B24App, portal: FakePortal, store: MemoryStore) -> None:
        self.app, self.portal, self.store = app, portal, store
        self.called: list[Any] = []

    def event(self, name: str, *, ts: int = 1_790_000_000, data: Any = None, **auth: Any) -> Request:
        return Request(body=event_body(self.portal, name, data, ts=ts, **auth))

    def silent(self, name: str, **changes: Any) -> Request:
        """An event without tokens."""
        return self.event(name, with_tokens=False, **changes)

    def page(self, path: str = "/", **changes: Any) -> Request:
        request = page_request(self.portal, user_id=7, **changes)
        return Request(path=path, query=request.query, body=request.body)

    async def install(self, **changes: Any) -> Response:
        return await self.app.handle(self.event("ONAPPINSTALL", data={"VERSION": "1", "LANGUAGE_ID": "en"}, **changes))

    async def sync(self) -> SyncReport:
        return await self.app.sync(await self.app.portals.get(self.portal.member_id))

    async def record(self) -> Any:
        stored = await self.store.load_installation(self.portal.secret.client_id, self.portal.member_id)
        return None if stored is None else stored.installation

    async def pair(self, user_id: int | None = None) -> Any:
        stored = await self.store.load(TokenKey(self.portal.secret.client_id, self.portal.member_id, user_id))
        return None if stored is None else stored.params

    async def settled(self) -> None:
        """Waits until handlers in tasks have ended."""
        await asyncio.sleep(1)


@asynccontextmanager
async def desk(*, app: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[Desk]:
    """An application that is to be installed on a portal.

    Args:
        app: Arguments of the application.
        options: Of the portal.
    """
    portal, store = FakePortal(clock=VirtualClock(), **options), MemoryStore()
    async with httpx.AsyncClient(transport=portal.transport()) as http:
        b24app = B24App(
            portal.secret,
            store,
            http_client=http,
            trusted_oauth_hosts=portal.trusted_oauth_hosts,
            clock=portal.clock.now,
            restriction_params=UNLIMITED,
            **(app or {}),
        )
        async with b24app:
            yield Desk(b24app, portal, store)
