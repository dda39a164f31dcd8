"""A fake portal on loopback for commands that run in processes of their own, and an environment for them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from b24oauth import B24OAuth
from b24oauth.installing import put_pair
from b24oauth.models import B24OAuthParams
from b24oauth.stores import SQLiteStore, TokenKey
from b24oauth.testing import FakePortal

Run = Callable[..., subprocess.CompletedProcess[str]]
# A process that is started in the background may have inherited that Ctrl-C is ignored.
START = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
START += "from b24oauth.cli import main; sys.exit(main())"
# Variables that change what a command does.
OF_THE_USER = ("B24OAUTH_", "XDG_", "SSL_CERT_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture
def portal() -> Iterator[FakePortal]:
    """The portal, served by a thread of its own."""
    portal = FakePortal(clock=time.time, rows={"crm.deal": 120}, operating={"crm.deal.list": 2.5})
    portal.method("methods", lambda _: ["crm.deal.get", "crm.deal.list", "user.get"])
    portal.method("scope", lambda _: ["crm", "task"])
    portal.method("method.get", lambda params: {"isExisting": params["name"] == "im.notify", "isAvailable": False})
    portal.method("event.get", lambda _: [])
    ready, end, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        async with portal.serve():
            ready.set()
            await end.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(30)
    yield portal
    loop.call_soon_threadsafe(end.set)
    thread.join()
    loop.close()


@pytest.fixture
def environment(portal: FakePortal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of commands: the application of the portal, and an empty data directory."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(OF_THE_USER)}
    ours = {
        "B24OAUTH_CLIENT_ID": portal.secret.client_id,
        "B24OAUTH_CLIENT_SECRET": portal.secret.client_secret,
        "B24OAUTH_TRUSTED_HOSTS": ",".join(portal.trusted_oauth_hosts),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }
    for name in [name for name in os.environ if name.upper().startswith(OF_THE_USER)]:
        monkeypatch.delenv(name)
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    return {**kept, **ours}


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "b24oauth" / "tokens.db"


@pytest.fixture
def put(environment: dict[str, str], store_path: Path) -> Callable[[B24OAuthParams], None]:
    """Stores a pair where commands look for it."""

    def put(pair: B24OAuthParams) -> None:
        async def save() -> None:
            store_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            async with SQLiteStore(store_path) as store:
                await put_pair(store, TokenKey(environment["B24OAUTH_CLIENT_ID"], pair.member_id), pair)

        asyncio.run(save())

    return put


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """Runs the command in a process of its own, without a terminal."""

    def run(*arguments: str, given: str = "", **changes: str | None) -> subprocess.CompletedProcess[str]:
        values = {**environment, **changes}
        return subprocess.run(
            [sys.executable, "-c", START, *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            env={name: value for name, value in values.items() if value is not None},
        )

    return run


def use_up_half_of_the_time(portal: FakePortal, store_path: Path) -> None:
    """Another program with the same store calls a method that takes long."""
    portal.operating["crm.deal.list"] = 300.0  # type: ignore[index]

    async def work() -> None:
        async with (
            SQLiteStore(store_path) as store,
            await B24OAuth.from_store(
                store, portal.secret, member_id=portal.member_id, trusted_oauth_hosts=portal.trusted_oauth_hosts
            ) as b24,
        ):
            await b24.call("crm.deal.list")
            await b24.call("profile")  # with it the execution time is shared

    asyncio.run(work())
