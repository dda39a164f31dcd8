"""The pytest plugin: fixtures for a fake portal on a virtual clock. Imports nothing heavy until one is used."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from b24oauth.testing.clock import VirtualClock
    from b24oauth.testing.portal import FakePortal

__all__ = ["fake_portal", "virtual_clock"]


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """A wall clock that starts now and follows the test's event loop, virtual or not."""
    from b24oauth.testing.clock import VirtualClock  # noqa: PLC0415 - every project's test run loads this module

    return VirtualClock(base=time.time())


@pytest.fixture
def fake_portal(virtual_clock: VirtualClock) -> FakePortal:
    """A portal without limits and faults, in process, whose time is `virtual_clock`."""
    from b24oauth.testing.portal import FakePortal  # noqa: PLC0415 - every project's test run loads this module

    return FakePortal(clock=virtual_clock)
