"""What an application sees of its calls in a trace, by the SDK of OpenTelemetry."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

from b24oauth import (
    B24Hook,
    B24OAuth,
    ClientStateError,
    RateLimitConfig,
    RestrictionParams,
    SdkError,
    TokenPersistenceError,
)
from b24oauth.events import TRACE, Event, RequestStarted
from b24oauth.models import RefreshedAuth
from b24oauth.observers import OpenTelemetryObserver
from b24oauth.stores import MemoryStore
from b24oauth.testing import FakePortal, faults
from tests.support.clients import UNLIMITED, connected, fake_portal
from tests.support.stores import put
from tests.support.telemetry import Telemetry, id_of, linked, turns
from tests.support.wires import OWN

pytestmark = pytest.mark.anyio

QUICK = RestrictionParams(rate_limit=UNLIMITED.rate_limit, retry_delay=0.5)
REQUEST = ("POST", [])


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


# --- span trees -------------------------------------------------------------------------------------------------------


async def test_a_call_is_a_span_below_the_current_one_and_its_request_a_client_span_below_it(
    telemetry: Telemetry,
) -> None:
    portal = fake_portal()
    async with connected(portal, observers=telemetry.observers) as b24:
        with telemetry.tracer.start_as_current_span("handler"):
            await b24.call("profile", request_id="r-1")
    assert telemetry.spans.tree() == [("handler", [("profile", [REQUEST])])]
    call, request = telemetry.spans.one("profile"), telemetry.spans.one("POST")
    assert (call.kind, request.kind) == (SpanKind.INTERNAL, SpanKind.CLIENT)
    assert dict(call.attributes or {}) == {
        "bitrix24.method": "profile",
        "bitrix24.api_version": "v2",
        "bitrix24.portal": "portal.example",
        "bitrix24.request_id": "r-1",
        "bitrix24.attempts": 1,
        "bitrix24.outcome": "success",
    }
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST",
        "server.address": "portal.example",
        "server.port": 443,
        "url.full": "https://portal.example/rest/profile",
        "bitrix24.method": "profile",
        "bitrix24.attempt": 1,
        "bitrix24.wait.duration": 0,
        "http.response.status_code": 200,
    }
    assert {call.status.status_code, request.status.status_code} == {StatusCode.UNSET}


async def test_a_retried_call_has_a_span_for_each_request_and_an_event_for_the_wait(telemetry: Telemetry) -> None:
    portal = fake_portal()
    portal.inject(faults.status(500, error="INTERNAL"), on="profile")
    portal.inject(faults.refuse(), on="profile")
    async with connected(portal, observers=telemetry.observers, restriction_params=QUICK) as b24:
        await b24.call("profile")
    assert telemetry.spans.tree() == [("profile", [REQUEST, REQUEST, REQUEST])]
    call, requests = telemetry.spans.one("profile"), telemetry.spans.named("POST")
    got = [
        (
            (span.attributes or {}).get("http.request.resend_count"),
            (span.attributes or {}).get("http.response.status_code"),
            (span.attributes or {}).get("error.type"),
            span.status.status_code,
        )
        for span in requests
    ]
    assert got == [
        (None, 500, "500", StatusCode.ERROR),
        (1, None, "NetworkError", StatusCode.ERROR),
        (2, 200, None, StatusCode.UNSET),
    ]
    retries = [dict(event.attributes or {}) for event in call.events if event.name == "b24oauth.retry"]
    assert [(retry["bitrix24.attempt"], retry["bitrix24.error_code"]) for retry in retries] == [
        (1, "INTERNAL"),
        (2, "NETWORK_ERROR"),
    ]
    assert all(float(str(retry["bitrix24.wait.duration"])) > 0 for retry in retries)
    assert call.attributes is not None
    assert (call.attributes["bitrix24.attempts"], call.status.status_code) == (3, StatusCode.UNSET)


@pytest.mark.parametrize(
    ("method", "params", "error_type", "code"),
    [
        ("crm.deal.get", {"id": 777}, "NotFoundError", ""),
        ("no.such.method", {}, "AjaxError", "ERROR_METHOD_NOT_FOUND"),
    ],
)
async def test_a_call_that_fails_names_the_class_of_its_error(
    telemetry: Telemetry, method: str, params: dict[str, Any], error_type: str, code: str
) -> None:
    portal = fake_portal(rows={"crm.deal": 1})
    async with connected(portal, observers=telemetry.observers) as b24:
        with pytest.raises(SdkError) as caught:
            await b24.call(method, params)
    call = telemetry.spans.one(method)
    assert call.attributes is not None
    assert call.attributes["error.type"] == type(caught.value).__name__
    assert call.attributes["bitrix24.error_code"] == caught.value.code
    assert (call.status.status_code, call.status.description) == (StatusCode.ERROR, caught.value.message)


async def test_a_portal_that_redirects_is_asked_in_two_spans_of_one_attempt(telemetry: Telemetry) -> None:
    portal = fake_portal()
    async with connected(portal, observers=telemetry.observers) as b24:
        portal.rename("https://renamed.example")
        await b24.call("profile")
    hosts = [(span.attributes or {})["server.address"] for span in telemetry.spans.named("POST")]
    attempts = [(span.attributes or {})["bitrix24.attempt"] for span in telemetry.spans.named("POST")]
    assert (hosts, attempts) == (["portal.example", "renamed.example"], [1, 1])
    assert telemetry.spans.tree() == [("profile", [REQUEST, REQUEST]), ("b24oauth.refresh", [])]


async def test_waits_for_the_rate_limit_are_events_of_the_call(telemetry: Telemetry) -> None:
    portal = fake_portal()
    slow = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=1, drain_rate=0.5))
    async with connected(portal, observers=telemetry.observers, restriction_params=slow) as b24:
        await asyncio.gather(*(b24.call("profile") for _ in range(3)))
    waits = [
        dict(event.attributes or {})
        for span in telemetry.spans.named("profile")
        for event in span.events
        if event.name == "b24oauth.throttled"
    ]
    assert [wait["bitrix24.wait.reason"] for wait in waits] == ["rate", "rate"]
    assert telemetry.metric("b24oauth.wait.duration") == {("rate",): 2}


# --- refreshes --------------------------------------------------------------------------------------------------------


async def test_a_refresh_that_calls_share_is_a_trace_of_its_own_and_linked_with_each_of_them(
    telemetry: Telemetry,
) -> None:
    portal = fake_portal()
    async with connected(portal, portal.issue(expired=True), observers=telemetry.observers) as b24:
        with telemetry.tracer.start_as_current_span("handler"):
            await asyncio.gather(*(b24.call("profile") for _ in range(3)))
    assert telemetry.spans.tree() == [("handler", [("profile", [REQUEST])] * 3), ("b24oauth.refresh", [])]
    refresh, calls = telemetry.spans.one("b24oauth.refresh"), telemetry.spans.named("profile")
    assert linked(refresh) == {id_of(call) for call in calls}
    assert [linked(call) for call in calls] == [{id_of(refresh)}] * 3
    assert dict(refresh.attributes or {}) == {
        "bitrix24.member_id": portal.member_id,
        "bitrix24.portal": "portal.example",
        "bitrix24.outcome": "renewed",
    }
    assert telemetry.metric("b24oauth.refreshes") == {("renewed",): 1}


async def test_a_call_whose_token_is_refused_has_two_requests_and_a_link_to_the_refresh(telemetry: Telemetry) -> None:
    portal = fake_portal()
    async with connected(portal, observers=telemetry.observers) as b24:
        portal.expire_tokens()
        await b24.call("profile")
    call, refresh = telemetry.spans.one("profile"), telemetry.spans.one("b24oauth.refresh")
    statuses = [(span.attributes or {})["http.response.status_code"] for span in telemetry.spans.below(call)]
    assert (statuses, linked(call)) == ([401, 200], {id_of(refresh)})


async def test_a_pair_found_in_the_store_is_no_new_one(telemetry: Telemetry) -> None:
    portal, store = fake_portal(), MemoryStore()
    expired = portal.issue(expired=True)
    async with connected(portal, expired, token_store=store, observers=telemetry.observers) as b24:
        await put(store, portal.issue())
        await b24.call("profile")
    assert (telemetry.spans.one("b24oauth.refresh").attributes or {})["bitrix24.outcome"] == "found"


async def revoked(portal: FakePortal, b24: B24OAuth) -> None:
    portal.revoke_all()


async def not_saved(portal: FakePortal, b24: B24OAuth) -> None:
    def full(_: RefreshedAuth) -> None:
        raise OSError("disk full")

    b24.set_callback_refresh_auth(full)


async def custom_fails(portal: FakePortal, b24: B24OAuth) -> None:
    def broken() -> None:
        raise KeyError("broken")

    b24.set_custom_refresh_auth(broken)


@pytest.mark.parametrize("spoil", [revoked, not_saved, custom_fails])
async def test_a_refresh_that_fails_ends_with_the_error_of_its_calls(
    telemetry: Telemetry, spoil: Callable[[FakePortal, B24OAuth], Any]
) -> None:
    portal = fake_portal()
    async with connected(portal, portal.issue(expired=True), observers=telemetry.observers) as b24:
        await spoil(portal, b24)
        with pytest.raises(SdkError) as caught:
            await b24.call("profile")
        b24.remove_callback_refresh_auth()
    refresh, call = telemetry.spans.one("b24oauth.refresh"), telemetry.spans.one("profile")
    for span in (refresh, call):
        attributes = span.attributes or {}
        assert (attributes["bitrix24.outcome"], attributes["error.type"]) == ("error", type(caught.value).__name__)
        assert attributes["bitrix24.error_code"] == caught.value.code
        assert span.status.status_code is StatusCode.ERROR
    telemetry.assert_nothing_is_open()


async def test_a_refresh_that_the_application_asks_for_is_linked_with_its_own_span(telemetry: Telemetry) -> None:
    portal = fake_portal()
    async with connected(portal, observers=telemetry.observers) as b24:
        with telemetry.tracer.start_as_current_span("administration"):
            await b24.auth.refresh_auth()
    refresh, own = telemetry.spans.one("b24oauth.refresh"), telemetry.spans.one("administration")
    assert (linked(refresh), linked(own)) == ({id_of(own)}, {id_of(refresh)})


# --- lists and batches ------------------------------------------------------------------------------------------------


async def test_all_calls_of_a_list_are_below_the_span_of_its_reader(telemetry: Telemetry) -> None:
    portal = fake_portal(rows={"crm.deal": 4000})
    async with connected(portal, observers=telemetry.observers) as b24:
        with telemetry.tracer.start_as_current_span("report"):
            before = trace.get_current_span()
            rows = 0
            async for _ in b24.rows("crm.deal.list"):
                rows += 1
                assert trace.get_current_span() is before
    assert rows == 4000
    ((name, calls),) = telemetry.spans.tree()
    assert name == "report"
    assert len(calls) == portal.calls["batch"] + sum(call == "crm.deal.list" for call, _ in calls) > 2
    assert {call for call, _ in calls} == {"crm.deal.list", "batch"}
    assert all(requests == [REQUEST] for _, requests in calls)
    request_ids = {(span.attributes or {})["bitrix24.request_id"] for span in telemetry.spans.named("batch")}
    assert len(request_ids) == 1


async def test_a_list_that_is_left_early_leaves_no_span_open(telemetry: Telemetry) -> None:
    portal = fake_portal(rows={"crm.deal": 4000}, latency=0.1)
    async with connected(portal, observers=telemetry.observers) as b24:
        async with b24.rows("crm.deal.list") as rows:
            async for _ in rows:
                break
        await turns(20)
        telemetry.assert_nothing_is_open()


async def test_a_batch_is_one_call(telemetry: Telemetry) -> None:
    portal = fake_portal(rows={"crm.deal": 3})
    async with connected(portal, observers=telemetry.observers) as b24:
        with telemetry.tracer.start_as_current_span("handler"):
            await b24.batch({"me": ("profile",), "deal": ("crm.deal.get", {"id": 1})})
            await b24.v3.batch({"task": ("tasks.task.list",)}, return_errors=True)
    assert telemetry.spans.tree() == [("handler", [("batch", [REQUEST]), ("batch", [REQUEST])])]
    versions = [(span.attributes or {})["bitrix24.api_version"] for span in telemetry.spans.named("batch")]
    assert versions == ["v2", "v3"]


# --- cancellation -----------------------------------------------------------------------------------------------------


async def test_a_cancelled_call_ends_its_spans_with_the_error(telemetry: Telemetry) -> None:
    portal = fake_portal(latency=5)
    async with connected(portal, observers=telemetry.observers) as b24:
        call = asyncio.create_task(b24.call("profile"))
        await asyncio.sleep(1)
        call.cancel()
        await asyncio.wait({call})
        telemetry.assert_nothing_is_open()
    assert telemetry.spans.tree() == [("profile", [REQUEST])]
    for span in telemetry.spans.ended:
        assert (span.attributes or {})["error.type"] == "CancelledError"
        assert span.status.status_code is StatusCode.ERROR
    assert telemetry.metric("b24oauth.calls") == {("v2", "profile", "cancelled", "CancelledError"): 1}


MOMENTS = [(turn, 0.0) for turn in (*range(1, 40), 60, 90)] + [(0, seconds / 4) for seconds in range(1, 24)]


@pytest.mark.parametrize(("turn", "seconds"), MOMENTS)
async def test_no_span_stays_open_wherever_calls_are_cancelled(telemetry: Telemetry, turn: int, seconds: float) -> None:
    portal = fake_portal(latency=seconds and 0.3, refresh_latency=seconds and 0.3)
    portal.inject(faults.status(503, error="QUERY_LIMIT_EXCEEDED"), on="profile")
    few = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=2, drain_rate=1))
    expired = portal.issue(expired=True)
    async with connected(
        portal, expired, observers=telemetry.observers, restriction_params=few, max_concurrency=2
    ) as b24:
        calls = [asyncio.create_task(b24.call("profile")) for _ in range(5)]
        await (asyncio.sleep(seconds) if seconds else turns(turn))
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        assert (telemetry.otel._calls, telemetry.otel._requests) == ({}, {})
    # A refresh goes on without the calls, and has ended when the client is closed.
    telemetry.assert_nothing_is_open()
    assert len(telemetry.spans.named("profile")) in (0, 5)  # none when the tasks had not begun


async def test_a_client_that_is_closed_ends_the_spans_of_its_calls_and_its_refresh(telemetry: Telemetry) -> None:
    portal = fake_portal(refresh_latency=30)
    expired = portal.issue(expired=True)
    async with connected(portal, expired, observers=telemetry.observers, close_timeout=1) as b24:
        call = asyncio.create_task(b24.call("profile"))
        await asyncio.sleep(1)
        with pytest.raises(TokenPersistenceError):
            await b24.aclose()
        with pytest.raises(ClientStateError):
            await call
        telemetry.assert_nothing_is_open()
    refresh = telemetry.spans.one("b24oauth.refresh")
    assert (refresh.attributes or {})["error.type"] == "CancelledError"


async def test_a_call_that_is_thrown_away_ends_its_span_and_leaves_the_context_of_others(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    portal = fake_portal(latency=5)
    async with connected(portal, observers=telemetry.observers) as b24:
        call = b24.call("profile")
        contextvars.copy_context().run(call.send, None)
        with telemetry.tracer.start_as_current_span("somebody else") as current:
            call.close()
            assert trace.get_current_span() is current
        telemetry.assert_nothing_is_open()
    assert (telemetry.spans.one("profile").attributes or {})["error.type"] == "GeneratorExit"
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_fifty_calls_at_once_stay_below_their_own_parents(telemetry: Telemetry) -> None:
    portal = fake_portal(latency=0.05)
    limits = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=10, drain_rate=20))
    async with connected(portal, observers=telemetry.observers, restriction_params=limits) as b24:
        portal.expire_tokens()

        async def handler(number: int) -> None:
            with telemetry.tracer.start_as_current_span(f"handler {number}") as own:
                await b24.call("profile", request_id=f"r-{number}")
                assert trace.get_current_span() is own

        await asyncio.gather(*map(handler, range(50)))
    telemetry.assert_nothing_is_open()
    for number in range(50):
        (call,) = telemetry.spans.below(telemetry.spans.one(f"handler {number}"))
        assert (call.attributes or {})["bitrix24.request_id"] == f"r-{number}"
        assert telemetry.spans.below(call) != []
    assert len({span.context.trace_id for span in telemetry.spans.ended if span.context}) == 51  # and the refresh
    assert trace.get_current_span() is trace.INVALID_SPAN


@pytest.mark.parametrize("library", OWN)
async def test_calls_over_real_connections_leave_the_context_of_their_caller(
    telemetry: Telemetry, library: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip(library)  # a run over httpx is without the others
    async with FakePortal(rows={"crm.deal": 300}).serve() as portal:
        port = int(portal.origin.rpartition(":")[2])
        options: dict[str, Any] = {"transport": library, "trusted_oauth_hosts": portal.trusted_oauth_hosts}
        expired = portal.issue(expired=True)
        async with B24OAuth(expired, portal.secret, observers=telemetry.observers, **options) as b24:
            with telemetry.tracer.start_as_current_span("handler") as own:
                calls = [asyncio.create_task(b24.call("profile")) for _ in range(20)]
                await asyncio.sleep(0)
                await turns(3)
                calls[0].cancel()
                await asyncio.wait(calls)
                assert len([deal async for deal in b24.rows("crm.deal.list")]) == 300
                assert trace.get_current_span() is own
            telemetry.assert_nothing_is_open()
    ((name, below), refresh) = telemetry.spans.tree()
    assert (name, refresh) == ("handler", ("b24oauth.refresh", []))
    assert [call for call, _ in below].count("profile") == 20
    assert {(span.attributes or {})["server.port"] for span in telemetry.spans.named("POST")} == {port}
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


# --- other clients, no SDK, exporters that fail -----------------------------------------------------------------------


async def test_one_observer_serves_clients_of_several_portals(telemetry: Telemetry) -> None:
    portals = [fake_portal(origin=f"https://portal{number}.example") for number in range(3)]
    for portal in portals:
        async with connected(portal, observers=telemetry.observers) as b24:
            await asyncio.gather(*(b24.call("profile", request_id="the same") for _ in range(2)))
    shown = [(span.attributes or {})["bitrix24.portal"] for span in telemetry.spans.named("profile")]
    assert shown == [name for number in range(3) for name in [f"portal{number}.example"] * 2]
    assert telemetry.metric("b24oauth.calls") == {("v2", "profile", "success"): 6}


@pytest.mark.parametrize("code", ["abcdefgh12345678", "ab", "rest"])
@pytest.mark.parametrize("version", ["v2", "v3"])
async def test_a_webhook_is_traced_without_its_secret(telemetry: Telemetry, code: str, version: str) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"result": {"ID": 1}, "time": {}})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        url = f"https://portal.example/rest/7/{code}/"
        async with B24Hook(url, http_client=http, observers=telemetry.observers) as hook:
            await (hook.v3 if version == "v3" else hook).call("tasks.task.get", {"id": 1})
    path = (telemetry.spans.one("POST").attributes or {})["url.full"]
    inner = "api/" if version == "v3" else ""
    root = "***" if code == "rest" else "rest"
    assert path == f"https://portal.example/{root}/{inner}7/***/tasks.task.get"


async def test_without_an_sdk_calls_work_and_nothing_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    observer, portal = OpenTelemetryObserver(trace.NoOpTracerProvider(), metrics.NoOpMeterProvider()), fake_portal()
    async with connected(portal, portal.issue(expired=True), observers=[observer]) as b24:
        await asyncio.gather(*(b24.call("profile") for _ in range(3)))
    assert (observer._calls, observer._requests, observer._refreshes) == ({}, {}, {})
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


class Failing(SpanProcessor):
    """An exporter that fails, and one that takes its time."""

    def __init__(self, *, at_start: bool) -> None:
        self._at_start = at_start

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if self._at_start:
            raise OSError("no collector")

    def on_end(self, span: ReadableSpan) -> None:
        time.sleep(0.001)
        raise OSError("no collector")


@pytest.mark.parametrize("at_start", [True, False])
async def test_exporters_that_fail_or_are_slow_harm_no_call(at_start: bool, caplog: pytest.LogCaptureFixture) -> None:
    telemetry, portal = Telemetry(), fake_portal()
    telemetry.tracers.add_span_processor(Failing(at_start=at_start))
    async with connected(portal, portal.issue(expired=True), observers=telemetry.observers) as b24:
        answers = await asyncio.gather(*(b24.call("profile", timeout=30) for _ in range(5)))
        assert trace.get_current_span() is trace.INVALID_SPAN
    assert [answer["ID"] for answer in answers] == ["1"] * 5
    assert (telemetry.otel._calls, telemetry.otel._requests, telemetry.otel._refreshes) == ({}, {}, {})
    told = [record for record in caplog.records if "observer OpenTelemetryObserver raised OSError" in record.message]
    assert len(told) == 1
    # The other observer goes on.
    counted = telemetry.registry.get_sample_value(
        "b24oauth_calls_total", {"method": "profile", "api": "v2", "outcome": "success", "error_type": ""}
    )
    assert counted == 5


async def test_metrics_that_fail_leave_no_span_open(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(*_: object) -> None:
        raise OSError("no meter")

    for name in ("calls", "refreshes"):
        monkeypatch.setattr(getattr(telemetry.otel._metrics, name), "add", failing)
    portal = fake_portal()
    async with connected(portal, portal.issue(expired=True), observers=telemetry.observers) as b24:
        await b24.call("profile")
    assert telemetry.spans.tree() == [("profile", [REQUEST]), ("b24oauth.refresh", [])]
    telemetry.assert_nothing_is_open()
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert "OpenTelemetryObserver raised OSError" in caplog.text


# --- metrics ----------------------------------------------------------------------------------------------------------


async def test_metrics_count_calls_by_outcome_and_never_by_portal_or_request(telemetry: Telemetry) -> None:
    portal = fake_portal(rows={"crm.deal": 2})
    portal.inject(faults.status(503, error="QUERY_LIMIT_EXCEEDED"), on="crm.deal.get")
    portal.inject(faults.drop_after(), on="crm.deal.add")
    async with connected(portal, observers=telemetry.observers, restriction_params=QUICK) as b24:
        await b24.call("crm.deal.get", {"id": 1})
        for method, params in (("crm.deal.get", {"id": 9}), ("crm.deal.add", {"fields": {"TITLE": "x"}})):
            with pytest.raises(SdkError):
                await b24.call(method, params)
    assert telemetry.metric("b24oauth.calls") == {
        ("v2", "crm.deal.get", "success"): 1,
        ("v2", "crm.deal.get", "error", "NotFoundError"): 1,
        ("v2", "crm.deal.add", "ambiguous", "AmbiguousResultError"): 1,
    }
    assert telemetry.metric("b24oauth.call.duration") == telemetry.metric("b24oauth.calls")
    assert telemetry.metric("b24oauth.retries") == {("v2", "crm.deal.get", "RateLimitError"): 1}
    assert telemetry.metric("b24oauth.bucket.level") == {(): 4}
    # What identifies a portal, a request or a user would make a series of each.
    keys = {key for name in telemetry.names() for key in telemetry.attributes(name)}
    assert keys <= {
        "bitrix24.method",
        "bitrix24.api_version",
        "bitrix24.outcome",
        "bitrix24.wait.reason",
        "error.type",
    }


async def test_the_level_of_the_bucket_is_the_used_part_of_the_burst() -> None:
    portal, levels = fake_portal(), Levels()
    limits = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=10, drain_rate=1))
    async with connected(portal, observers=[levels], restriction_params=limits) as b24:
        for _ in range(12):
            await b24.call("profile")
    assert levels.seen[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert levels.seen == sorted(levels.seen)
    assert levels.seen[-1] == 1


class Levels:
    level = TRACE

    def __init__(self) -> None:
        self.seen: list[float] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, RequestStarted):
            self.seen.append(event.bucket_level)
