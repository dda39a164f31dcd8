"""A fake portal in a process of its own, so that only the client's work is measured."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from b24oauth import B24OAuthParams, B24OAuthSecret
from b24oauth.testing import FakePortal

__all__ = ["portal_process"]


async def _serve(pipe: Connection) -> None:
    portal = FakePortal(clock=time.time, burst=1e9, drain=1e9)
    async with portal.serve() as served:
        pipe.send((served.issue().to_dict(), served.secret.to_dict(), served.trusted_oauth_hosts))
        await asyncio.to_thread(pipe.recv)


def _main(pipe: Connection) -> None:
    asyncio.run(_serve(pipe))


@contextmanager
def portal_process() -> Iterator[tuple[B24OAuthParams, B24OAuthSecret, frozenset[str]]]:
    """Serves a portal without limits; gives a token pair, the application's secret and the hosts to trust."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_main, args=(theirs,))
    process.start()
    try:
        told: tuple[dict[str, Any], dict[str, Any], frozenset[str]] = ours.recv()
        yield B24OAuthParams.from_dict(told[0]), B24OAuthSecret.from_dict(told[1]), frozenset(told[2])
    finally:
        ours.send("stop")
        process.join()
