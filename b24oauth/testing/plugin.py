"""Fixtures for users' tests: a fake portal on a virtual clock. Say `pytest_plugins = ["b24oauth.testing.plugin"]`."""

from __future__ import annotations

import time

import pytest

from b24oauth.testing.clock import VirtualClock
from b24oauth.testing.portal import FakePortal

__all__ = ["fake_portal", "virtual_clock"]


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """A wall clock that starts now and follows the test's event loop, virtual or not."""
    return VirtualClock(base=time.time())


@pytest.fixture
def fake_portal(virtual_clock: VirtualClock) -> FakePortal:
    """A portal without limits and faults, in process, whose time is `virtual_clock`."""
    return FakePortal(clock=virtual_clock)
