"""`B24Hook`: everything that a webhook can do goes as with OAuth, and its address is a secret."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import pickle
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from b24oauth import (
    AccessDeniedError,
    AjaxError,
    AmbiguousResultError,
    ClientStateError,
    ConfigurationError,
    RateLimitConfig,
    RestrictionParams,
    SdkError,
)
from b24oauth.errors import PortalMovedError, UntrustedHostError
from b24oauth.hook import B24Hook
from b24oauth.testing import FakePortal, faults
from tests.support.clients import UNLIMITED, fake_portal

pytestmark = pytest.mark.anyio

TRANSPORTS = ["httpx", "httpx2", "aiohttp"]


@pytest.fixture(autouse=True)
def transport() -> None:
    """All libraries are here: a test says which one it is about."""


@asynccontextmanager
async def hooked(portal: FakePortal, **options: Any) -> AsyncIterator[B24Hook]:
    options.setdefault("restriction_params", UNLIMITED)
    async with (
        httpx.AsyncClient(transport=portal.transport()) as http,
        B24Hook(portal.webhook(), http_client=http, **options) as b24,
    ):
        yield b24


def code_of(b24: B24Hook) -> str:
    return b24._services.credentials.params.code  # type: ignore[attr-defined,no-any-return]


async def test_calls_lists_and_batches_of_both_versions_go_through_a_webhook() -> None:
    portal = fake_portal(rows={"crm.deal": 120, "tasks.task": 120})
    async with hooked(portal) as b24:
        assert (await b24.call("profile"))["ID"] == "1"
        assert [int(row["ID"]) async for row in b24.rows("crm.deal.list")] == list(range(1, 121))
        assert [deal["ID"] for deal in await b24.batch([("crm.deal.get", {"id": 1}), ("crm.deal.get", {"id": 2})])] == [
            "1",
            "2",
        ]
        assert (await b24.v3.call("tasks.task.get", {"id": 3}))["item"]["id"] == 3
        assert [row["id"] async for row in b24.v3.rows("tasks.task.list")] == list(range(1, 121))
        assert len(await b24.v3.batch([("tasks.task.get", {"id": 1})])) == 1
        assert (await b24.actions.v2.call.make("server.time")).is_success
        assert await b24.tools.ping.make() >= 0
        with pytest.raises(SdkError):
            await b24.with_options(timeout=5).call("crm.deal.get", {"id": 777})
    assert all(record.token is None for record in portal.requests)


async def test_l5_limits_repeats_and_ambiguous_writes_are_those_of_every_client() -> None:
    portal = fake_portal(rows={"crm.deal": 1}, burst=5, drain=2)
    limits = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=5, drain_rate=2), retry_delay=0.1)
    async with hooked(portal, restriction_params=limits) as b24:
        await asyncio.gather(*(b24.call("profile") for _ in range(30)))
        assert portal.refused == 0
        portal.inject(faults.status(500, error="INTERNAL"), on="profile")
        assert await b24.call("profile")
        portal.inject(faults.drop_after(), on="crm.deal.add")
        with pytest.raises(AmbiguousResultError):
            await b24.call("crm.deal.add", {"fields": {"TITLE": "x"}})
    assert portal.executed["crm.deal.add"] == 1


async def test_a_webhook_that_was_deleted_is_refused_without_a_repeat() -> None:
    portal = fake_portal()
    async with httpx.AsyncClient(transport=portal.transport()) as http:
        url = portal.webhook().replace("/rest/1/", "/rest/2/")
        async with B24Hook(url, http_client=http) as b24:
            with pytest.raises(AccessDeniedError):
                await b24.call("profile")
    assert len(portal.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_t12_a_redirect_is_refused_and_nothing_is_sent_there(status: int) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(status, headers={"location": "https://evil.example/rest/"})

    url = "https://portal.example/rest/1/s3cr3tc0de/"
    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http,
        B24Hook(url, http_client=http) as b24,
    ):
        with pytest.raises(PortalMovedError, match=r"evil\.example"):
            await b24.call("profile")
    assert asked == ["portal.example"]


async def test_t12_the_address_is_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    portal, events = fake_portal(), list[Any]()
    caplog.set_level(logging.DEBUG)
    errors: list[BaseException] = []
    async with hooked(portal, observers=[events.append]) as b24:
        code = code_of(b24)

        portal.method("my.echo", lambda _: {"seen": code})
        await b24.call("my.echo")
        for fault in (
            faults.status(400, {"error": code, "error_description": f"bad /rest/1/{code}/"}),
            faults.status(500, {"error": {"code": "E", "message": code}}),
            faults.html(502, f"<a href='/rest/1/{code}/'>"),
            faults.drop_before(),
        ):
            portal.inject(fault, on="profile")
            with pytest.raises(AjaxError) as caught:
                await b24.call("profile", max_attempts=1)
            errors.append(caught.value)
        shown = [repr(b24), str(b24), repr(vars(b24)), repr(vars(b24.get_http_client("v2")))]  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            pickle.dumps(b24)
    shown += [f"{error} {error!r} {vars(error)!r} {''.join(traceback.format_exception(error))}" for error in errors]
    shown += [f"{event} {event!r}" for event in events]
    shown += [f"{record.getMessage()} {vars(record)!r}" for record in caplog.records if record.name != "httpx"]
    assert not any(code in text for text in shown)
    assert repr(b24) == "<B24Hook https://portal.example/rest/1/***/>"


@pytest.mark.parametrize("transport_name", TRANSPORTS)
async def test_t12_libraries_do_not_log_the_address(
    transport_name: Any, anyio_backend: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    portal = FakePortal(rows={"crm.deal": 1})
    async with portal.serve() as served:
        hosts = served.trusted_oauth_hosts
        async with B24Hook(portal.webhook(), transport=transport_name, trusted_hosts=hosts) as b24:
            code = code_of(b24)
            assert await b24.call("profile")
            assert await b24.v3.call("profile")
    assert code not in "\n".join(f"{record.getMessage()} {vars(record)!r}" for record in caplog.records)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://portal.example", ConfigurationError),
        ("https://portal.example/rest/", ConfigurationError),
        ("https://portal.example/rest/1/", ConfigurationError),
        ("https://portal.example/rest/code/1/", ConfigurationError),
        ("https://portal.example/rest/1/s3cr3t/crm.deal.get", ConfigurationError),
        ("https://portal.example/rest/1/s3cr3t/?x=1", UntrustedHostError),
        ("http://portal.example/rest/1/s3cr3t/", UntrustedHostError),
        ("https://user:pw@portal.example/rest/1/s3cr3t/", UntrustedHostError),
        ("", UntrustedHostError),
        (5, ConfigurationError),
        (None, ConfigurationError),
    ],
)
def test_what_is_no_address_of_a_webhook_is_refused_and_not_repeated(url: Any, kind: Any) -> None:
    with pytest.raises(kind) as caught:
        B24Hook(url)
    assert "s3cr3t" not in f"{caught.value} {caught.value!r}"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("end", ["1/abc", "1/abc/", "api/1/abc/"])
async def test_an_address_of_either_version_is_taken(end: str) -> None:
    asked: list[str] = []
    url = f"https://p.example/rest/{end}"

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, json={"result": 1})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http, B24Hook(url, http_client=http) as b24:
        await b24.call("profile")
        await b24.v3.call("profile")
    assert asked == ["/rest/1/abc/profile", "/rest/api/1/abc/profile"]


async def test_a1_closing_ends_calls_that_wait() -> None:
    portal = fake_portal()
    slow = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=1, drain_rate=0.01))
    async with hooked(portal, restriction_params=slow) as b24:
        calls = [asyncio.create_task(b24.call("profile")) for _ in range(3)]
        await asyncio.sleep(1)
        await b24.aclose()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes][1:] == [ClientStateError] * 2


@pytest.mark.parametrize("method", ["disk.file.get", "crm.item.get"])
async def test_files_are_downloaded_through_a_webhook(method: str) -> None:
    portal = fake_portal()
    number = portal.files.add("a.txt", b"content")
    target = io.BytesIO()
    async with hooked(portal) as b24:
        if method == "disk.file.get":
            await b24.download(number, target)
        else:
            fields = {"title": "t", "ufCrmFile": ["a.txt", base64.b64encode(b"content").decode()]}
            made = await b24.call("crm.item.add", {"entityTypeId": 2, "fields": fields})
            await b24.download(made["item"]["ufCrmFile"]["urlMachine"], target)
    assert target.getvalue() == b"content"


@pytest.mark.parametrize("host", ["http://127.0.0.1:80", "127.0.0.1:80/", 80])
def test_trusted_hosts_that_would_never_match_are_refused(host: Any) -> None:
    with pytest.raises(ConfigurationError, match=r'trusted_hosts must hold names as "host" or "host:port"'):
        B24Hook("https://portal.bitrix24.com/rest/1/abcdefgh1234/", trusted_hosts=[host])


def test_a_webhook_over_plain_http_is_refused_with_the_remedy() -> None:
    with pytest.raises(UntrustedHostError, match="trusted_hosts of B24Hook"):
        B24Hook("http://127.0.0.1:8000/rest/1/abcdefgh1234/")
