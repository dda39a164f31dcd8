"""All async tests run on a loop that skips waiting, and over the transport that is asked for.

`pytest --transport httpx` runs them as if neither the extra `speed` nor httpx2 were installed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Loaded here, since compiling it within a test can meet a collection that prints a traceback: CPython 3.11 then fails
# with "AST constructor recursion depth mismatch".
import hypothesis.internal.conjecture.optimiser  # noqa: F401
import pytest
from hypothesis import settings

from b24oauth.protocol import decoding
from b24oauth.testing import VirtualClockLoop
from b24oauth.wire.choosing import chosen_transport
from tests.support.examples import STORMS
from tests.support.servers import PostgreSQL, Valkey, postgresql, valkey

pytest_plugins = ["b24oauth.testing.plugin"]

# What is not installed in a run over each transport. Without a fast reader of JSON aiohttp is not worth it.
WITHOUT = {"httpx": ("httpx2", "msgspec", "orjson"), "httpx2": ("msgspec", "orjson"), "aiohttp": ()}


# A sample is the same in each run; the storms look for what is new.
settings.register_profile("sample", derandomize=True, deadline=None)
if not STORMS:
    settings.load_profile("sample")


# What `-m "not slow"` leaves out: long walks, real sockets that wait, processes, and runs of many cases.
SLOW = (
    "actions/test_documented_lists.py",
    "apps/test_offline_processes.py",
    "lists/test_parallel_walk.py",
    "lists/test_walk_pace.py",
    "benchmarks/",
    "cli/",
    "conformance/",
    "exporting/test_kills.py",
    "limits/test_shared_limits.py",
    "rest/test_rate_estimator.py",
    "stores/test_every_store.py",
    "stores/test_processes.py",
    "test_scrubbing.py",
    "test_t12_canary.py",
    "wire/test_leftovers.py",
    "wire/test_paused_process.py",
    "wire/test_response_size.py",
    "wire/test_send.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    for item in items:
        if item.path.relative_to(tests).as_posix().startswith(SLOW):
            item.add_marker(pytest.mark.slow)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--transport", choices=sorted(WITHOUT), default=chosen_transport("auto"))


def pytest_report_header(config: pytest.Config) -> str:
    return f"transport: {config.getoption('--transport')}"


@pytest.fixture(autouse=True)
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The transport that clients choose by themselves in this run."""
    name: str = request.config.getoption("--transport")
    for package in WITHOUT[name]:
        monkeypatch.setitem(sys.modules, package, None)
    decoding._fast_reader.cache_clear()
    assert chosen_transport("auto") == name
    return name


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualClockLoop}


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    with postgresql(tmp_path_factory.mktemp("postgresql")) as server:
        yield server
