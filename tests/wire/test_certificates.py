"""One SSL context for a process and configuration, loaded in a thread when it is first needed."""

from __future__ import annotations

import asyncio
import ssl
import threading
from typing import Any

import pytest

from b24oauth.wire import certificates
from b24oauth.wire.certificates import Certificates, context_for
from tests.support.spies import saying, server
from tests.support.tls import CLIENT, tls_server
from tests.support.wires import FINE, OWN, post, wire_of

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the threads in which a context was loaded."""
    names: list[str] = []
    load = ssl.create_default_context

    def counted(*args: Any, **options: Any) -> ssl.SSLContext:
        names.append(threading.current_thread().name)
        return load(*args, **options)

    monkeypatch.setattr(ssl, "create_default_context", counted)
    monkeypatch.setattr(certificates, "_CONTEXTS", {})
    return names


async def test_clients_of_all_transports_share_one_context(loads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CLIENT))
    async with tls_server(saying(FINE)) as url:
        loads.clear()
        for kind in OWN * 2:
            async with wire_of(kind) as wire:
                await asyncio.gather(*(post(wire, url) for _ in range(3)))
    assert len(loads) == 1
    assert loads[0] != threading.main_thread().name


async def test_each_configuration_has_a_context_of_its_own(loads: list[str]) -> None:
    first, second = await context_for(Certificates()), await context_for(Certificates(file=str(CLIENT)))
    assert first is not second
    assert await context_for(Certificates()) is first
    assert len(loads) == 2
    assert first.verify_mode is ssl.CERT_REQUIRED
    assert first.check_hostname


async def test_a_caller_that_is_cancelled_leaves_the_context_to_others(loads: list[str]) -> None:
    loading = asyncio.create_task(context_for(Certificates()))
    await asyncio.sleep(0)
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    await context_for(Certificates())
    assert len(loads) == 1


def test_loops_in_several_threads_share_it(loads: list[str]) -> None:
    found: list[ssl.SSLContext] = []
    threads = [
        threading.Thread(target=lambda: found.append(asyncio.run(context_for(Certificates())))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(context) for context in found}) == len(loads) == 1


async def test_plain_http_needs_none(loads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    async with server(saying(FINE)) as url:
        for kind in OWN:
            async with wire_of(kind) as wire:
                await post(wire, url)
    assert loads == []
