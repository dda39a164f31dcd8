"""Leases of work."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from b24oauth.apps.leasing import Hold

pytestmark = pytest.mark.anyio


class Swallowing:
    """A lease of a store whose driver swallows cancellations."""

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def extend(self) -> bool:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.3)
        return True


async def test_a_store_that_swallows_a_cancellation_does_not_block_the_end_of_a_lease() -> None:
    hold = await Hold.take(Swallowing(), seconds=1.0)
    await asyncio.sleep(0.45)
    closing = asyncio.ensure_future(hold.aclose())
    done, _ = await asyncio.wait({closing}, timeout=5)
    assert done
