"""Runs a bot that fetches its events: on one portal, or on all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import attrs

from b24oauth.apps.runner import HasPortals, Runner, RunnerOptions
from b24oauth.apps.running import stopped_by_signals
from b24oauth.bots.fetching import Fetcher
from b24oauth.client import B24OAuth
from b24oauth.portals import B24Portals
from b24oauth.stores.memory import MemoryStore
from b24oauth.storing import TokenStore

__all__ = ["run_bot", "run_bots"]


class _BotRunner(Runner):
    """A runner that fetches nothing more once it is asked to stop."""

    fetcher: Fetcher

    def stop(self) -> None:
        """Asks the runner to stop; what was fetched is handled."""
        self.fetcher.stop()
        super().stop()


@attrs.frozen
class _OnePortal:
    """A single client in the place of `B24Portals`, as far as a runner uses it."""

    b24: B24OAuth
    store: TokenStore

    @property
    def portals(self) -> B24Portals:
        return cast("B24Portals", self)

    @property
    def client_id(self) -> str:
        return self.b24.auth.client_id

    async def get(self, member_id: str) -> B24OAuth:
        del member_id  # there is one
        return self.b24

    async def __aiter__(self) -> AsyncIterator[str]:
        yield self.b24.auth.get_params().member_id


async def run_bot(b24: B24OAuth, fetcher: Fetcher, *, name: str, drain: float, stop: asyncio.Event | None) -> None:
    """Runs a bot on one portal until it is asked to stop.

    Args:
        b24: The client of the portal.
        fetcher: Fetches and handles events.
        name: Names the work: processes with the same name and store share it.
        drain: Seconds that handlers get to end.
        stop: Ends it when it is set; None for signals.
    """
    await fetcher.prepare(b24)
    store = b24.auth.token_store
    portal = _OnePortal(b24, MemoryStore() if store is None else store)
    await run_bots(portal, fetcher, name=name, options={"drain": drain, "logger": b24.get_logger()}, stop=stop)


async def run_bots(
    app: HasPortals | B24Portals,
    fetcher: Fetcher,
    *,
    name: str,
    options: RunnerOptions,
    stop: asyncio.Event | None = None,
) -> None:
    """Runs a bot on all portals of an application until it is asked to stop.

    Args:
        app: The application.
        fetcher: Fetches and handles events.
        name: Names the work.
        options: Options of the runner.
        stop: Ends it when it is set; None for signals.
    """
    runner = _BotRunner(app, fetcher.consume, name=name, **options)
    runner.fetcher = fetcher
    if stop is None:
        with stopped_by_signals(runner):
            await runner.run()
        return

    async def wait() -> None:
        await stop.wait()
        runner.stop()

    waiting = asyncio.get_running_loop().create_task(wait(), name="b24oauth bot")
    try:
        await runner.run()
    finally:
        waiting.cancel()
        await asyncio.wait({waiting})
