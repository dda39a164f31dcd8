"""What an installed distribution must do; run by `nox -s smoke` in clean environments, as ``python -I smoke.py EXTRA``.

``bare`` is the distribution without extras: what needs one must say which.
"""

import asyncio
import importlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOOK = "https://your-domain.bitrix24.com/rest/1/abc/"


def raised(function: Callable[[], object]) -> str:
    """The message of the error that a function raises."""
    try:
        function()
    except Exception as error:  # noqa: BLE001 - the message is what is tested
        return str(error)
    raise AssertionError("nothing was raised")


def imported(name: str) -> Callable[[], object]:
    """A function that imports a module, or a name of one."""
    module, _, attribute = name.partition(":")

    def load() -> Any:
        found = importlib.import_module(module)
        return getattr(found, attribute) if attribute else found

    return load


def hook(**options: Any) -> Callable[[], object]:
    """A function that makes a client."""

    def make() -> Any:
        from b24oauth import B24Hook

        return B24Hook(HOOK, **options)

    return make


def transport(expected: str) -> None:
    from b24oauth.wire.choosing import chosen_transport

    assert chosen_transport("auto") == expected
    hook(transport=expected)()


async def call_over_loopback() -> None:
    from b24oauth import B24Hook
    from b24oauth.testing import FakePortal

    async with (
        FakePortal().serve() as portal,
        B24Hook(portal.webhook(), trusted_hosts=[portal.origin.removeprefix("http://")]) as b24,
    ):
        assert (await b24.call("crm.deal.get", {"id": 1}))["TITLE"] == "Deal 1"


async def keep_a_pair(make: Callable[[Path], Any]) -> None:
    from b24oauth.stores import TokenKey
    from b24oauth.testing import FakePortal

    portal = FakePortal()
    key = TokenKey(portal.secret.client_id, portal.member_id)
    with tempfile.TemporaryDirectory() as folder:
        async with make(Path(folder)) as store:
            pair = portal.issue()
            await store.save(key, pair, expected=None)
            stored = await store.load(key)
            assert stored.params.to_dict() == pair.to_dict()


def sqlite(folder: Path) -> Any:
    from b24oauth.stores import SQLiteStore

    return SQLiteStore(folder / "tokens.db")


def files(folder: Path) -> Any:
    from b24oauth.stores import FileStore

    return FileStore(folder / "tokens")


def encrypted(folder: Path) -> Any:
    from b24oauth.stores import EncryptedStore

    return EncryptedStore(sqlite(folder), [EncryptedStore.new_key()])


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "b24oauth", *arguments], capture_output=True, text=True, check=False)


def run_the_demo() -> None:
    done = command("demo", "--plain")
    assert done.returncode == 0, done.stdout + done.stderr


TRACES = imported("b24oauth.observers:OpenTelemetryObserver")
METRICS = imported("b24oauth.observers:PrometheusObserver")
# Extra: what proves it, and in the bare distribution: what asks for it.
PROOFS: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "speed": (lambda: transport("aiohttp"), hook(transport="aiohttp")),
    "httpx2": (lambda: transport("httpx2"), hook(transport="httpx2")),
    "socks": (hook(proxy="socks5://127.0.0.1:1080"), lambda: asyncio.run(over_socks())),
    "testing": (lambda: asyncio.run(call_over_loopback()), lambda: asyncio.run(call_over_loopback())),
    "cli": (run_the_demo, lambda: fail_with(command("demo").stderr)),
    "file": (lambda: asyncio.run(keep_a_pair(files)), imported("b24oauth.stores:FileStore")),
    "redis": (imported("b24oauth.stores:RedisStore"), imported("b24oauth.stores:RedisStore")),
    "parquet": (imported("b24oauth.exporting.parquet"), imported("b24oauth.exporting.parquet")),
    "sqlalchemy": (imported("b24oauth.stores:SQLAlchemyStore"), imported("b24oauth.stores:SQLAlchemyStore")),
    "crypto": (lambda: asyncio.run(keep_a_pair(encrypted)), imported("b24oauth.stores:EncryptedStore")),
    "web-aiohttp": (imported("b24oauth.contrib.aiohttp"), imported("b24oauth.contrib.aiohttp")),
    "fastapi": (imported("b24oauth.contrib.fastapi"), imported("b24oauth.contrib.fastapi")),
    "starlette": (imported("b24oauth.contrib.starlette"), imported("b24oauth.contrib.starlette")),
    "otel": (TRACES, TRACES),
    "prometheus": (METRICS, METRICS),
}


async def over_socks() -> None:
    from b24oauth import B24Hook

    async with B24Hook(HOOK, proxy="socks5://127.0.0.1:1080") as b24:
        await b24.call("profile")


def fail_with(text: str) -> None:
    raise RuntimeError(text)


def main(extra: str) -> None:
    """Proves one extra, or with ``bare`` the distribution without any."""
    import b24oauth

    assert "site-packages" in str(b24oauth.__file__)
    assert (Path(b24oauth.__file__).parent / "py.typed").exists()
    if extra != "bare":
        PROOFS[extra][0]()
        return
    [getattr(b24oauth, name) for name in b24oauth.__all__]
    asyncio.run(keep_a_pair(sqlite))
    transport("httpx")
    for name, (_, asking) in PROOFS.items():
        message = raised(asking)
        assert f'pip install "b24oauth[{name}]"' in message, (name, message)


if __name__ == "__main__":
    main(sys.argv[1])
