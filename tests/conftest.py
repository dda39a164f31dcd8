"""All async tests run on a loop that skips waiting."""

from __future__ import annotations

from typing import Any

import pytest

from b24oauth.testing import VirtualClockLoop

pytest_plugins = ["b24oauth.testing.plugin"]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualClockLoop}
