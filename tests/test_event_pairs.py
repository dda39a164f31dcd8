"""What ties events together: numbers of calls and refreshes, and that what has started finishes, once."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Any

import attrs
import pytest

from b24oauth import RateLimitConfig, RestrictionParams, SdkError, events
from b24oauth.limits.rate import RateLimiter
from b24oauth.testing import faults
from tests.support.clients import UNLIMITED, connected, fake_portal
from tests.support.telemetry import turns

pytestmark = pytest.mark.anyio

QUICK = RestrictionParams(rate_limit=UNLIMITED.rate_limit, retry_delay=0.5)


class Seen:
    def __init__(self, level: int = events.TRACE) -> None:
        self.level = level
        self.events: list[Any] = []

    def __call__(self, event: events.Event) -> None:
        self.events.append(event)

    def of(self, *kinds: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]

    def assert_all_is_finished(self) -> None:
        """Each begin has one end, behind it."""
        calls: Counter[int] = Counter()
        requests: Counter[tuple[int, int]] = Counter()
        refreshes: Counter[int] = Counter()
        for event in self.events:
            match event:
                case events.CallStarted(call_id=number):
                    calls[number] += 1
                case events.CallFinished(call_id=number):
                    calls[number] -= 1
                    assert number not in {call for call, _ in +requests}
                case events.RequestStarted(call_id=call, number=number):
                    assert calls[call] == 1
                    requests[call, number] += 1
                case events.RequestFinished(call_id=call, number=number):
                    requests[call, number] -= 1
                case events.RefreshStarted(refresh_id=number):
                    refreshes[number] += 1
                case events.RefreshFinished(refresh_id=number):
                    refreshes[number] -= 1
                case events.RefreshAwaited(refresh_id=number):
                    assert refreshes[number] == 1
                case _:
                    pass
            assert {*calls.values(), *requests.values(), *refreshes.values()} <= {0, 1}
        assert {*calls.values(), *requests.values(), *refreshes.values()} <= {0}


async def test_all_events_of_a_call_have_its_number_and_its_portal() -> None:
    portal, seen = fake_portal(), Seen(events.CONTENT)
    portal.inject(faults.status(500, error="INTERNAL"), on="profile")
    limits = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=1, drain_rate=1), retry_delay=0.5)
    async with connected(portal, observers=[seen], restriction_params=limits) as b24:
        await b24.call("profile")
    of_call = seen.of(events.CallEvent)
    assert {type(event) for event in of_call} == {
        events.CallStarted,
        events.AttemptStarted,
        events.RequestContent,
        events.RequestStarted,
        events.RequestFinished,
        events.ResponseContent,
        events.AttemptFinished,
        events.Retrying,
        events.Throttled,
        events.CallFinished,
    }
    assert {(event.method, event.api, event.portal) for event in of_call} == {("profile", "v2", "portal.example")}
    assert len({event.call_id for event in of_call}) == 1


@pytest.mark.parametrize("level", [events.TRACE, logging.DEBUG, logging.INFO])
async def test_calls_of_one_request_identifier_and_of_several_clients_have_different_numbers(level: int) -> None:
    seen = Seen(level)
    for _ in range(2):
        portal = fake_portal()
        portal.inject(faults.status(500, error="INTERNAL"), on="profile", times=3)
        async with connected(portal, observers=[seen], restriction_params=QUICK) as b24:
            await asyncio.gather(*(b24.call("profile", request_id="the same") for _ in range(3)))
    finished = [event.call_id for event in seen.of(events.CallFinished)]
    assert len(set(finished)) == len(finished) >= 2
    assert 0 not in finished


async def test_observers_of_the_default_level_get_no_event_of_a_request_or_a_refresh() -> None:
    portal, seen, default = fake_portal(), Seen(), Seen(logging.DEBUG)
    async with connected(portal, portal.issue(expired=True), observers=[seen, default]) as b24:
        await b24.call("profile")
    traced = (events.RequestStarted, events.RequestFinished, events.RefreshStarted, events.RefreshFinished)
    assert {type(event) for event in seen.of(*traced)} == set(traced)
    assert default.of(*traced) == []
    assert default.events == [event for event in seen.events if event.level >= logging.DEBUG]


async def test_a_refresh_starts_before_its_waiters_wait_and_ends_before_they_go_on() -> None:
    portal, seen = fake_portal(refresh_latency=1), Seen()
    async with connected(portal, portal.issue(expired=True), observers=[seen]) as b24:
        await asyncio.gather(*(b24.call("profile") for _ in range(3)))
    kinds = [type(event).__name__ for event in seen.events if not isinstance(event, events.AttemptStarted)]
    begin = kinds.index("RefreshStarted")
    assert kinds[begin : begin + 2] == ["RefreshStarted", "RefreshAwaited"]
    assert kinds.count("RefreshAwaited") == 3
    assert kinds.index("RefreshFinished") < kinds.index("RequestStarted")
    (finished,) = seen.of(events.RefreshFinished)
    assert (finished.outcome, finished.is_new, finished.portal) == ("renewed", True, "portal.example")
    assert finished.duration == pytest.approx(1)
    assert finished.member_id == portal.member_id


@pytest.mark.parametrize(
    ("fault", "status", "error_type"),
    [
        (faults.status(500, error="INTERNAL"), 500, None),
        (faults.refuse(), 0, "NetworkError"),
        (faults.drop_after(), 0, "NetworkError"),
        (faults.hang(), 0, "RequestTimeoutError"),
        (faults.garbage(), 200, None),
    ],
)
async def test_a_request_ends_with_its_status_or_the_class_of_its_error(
    fault: faults.Fault, status: int, error_type: str | None
) -> None:
    portal, seen = fake_portal(), Seen()
    portal.inject(fault, on="profile")
    async with connected(portal, observers=[seen], restriction_params=QUICK) as b24:
        await b24.call("profile")
    first, second = seen.of(events.RequestFinished)
    assert (first.number, first.attempt, first.status, first.error_type) == (1, 1, status, error_type)
    assert (second.number, second.attempt, second.status, second.error_type) == (2, 2, 200, None)
    seen.assert_all_is_finished()


@pytest.mark.parametrize("turn", range(1, 45))
async def test_what_has_started_finishes_once_wherever_calls_are_cancelled(turn: int) -> None:
    portal, seen = fake_portal(), Seen()
    portal.inject(faults.status(503, error="QUERY_LIMIT_EXCEEDED"), on="profile")
    async with connected(portal, portal.issue(expired=True), observers=[seen], restriction_params=QUICK) as b24:
        calls = [asyncio.create_task(b24.call("profile", timeout=20)) for _ in range(3)]
        await turns(turn)
        calls[0].cancel()
        await asyncio.wait(calls)
    seen.assert_all_is_finished()
    assert len(seen.of(events.CallFinished)) in (2, 3)


async def test_what_has_started_finishes_when_a_call_runs_out_of_time() -> None:
    portal, seen = fake_portal(latency=3), Seen()
    async with connected(portal, observers=[seen]) as b24:
        with pytest.raises(SdkError):
            await b24.call("profile", timeout=1)
    seen.assert_all_is_finished()
    (request,), (call,) = seen.of(events.RequestFinished), seen.of(events.CallFinished)
    assert (request.error_type, call.error_type, call.outcome) == ("CancelledError", "RequestTimeoutError", "error")


async def test_the_address_of_a_request_has_no_query_and_stays_whole_without_an_application_token() -> None:
    portal, seen = fake_portal(), Seen()
    pair = attrs.evolve(portal.issue(), application_token="")
    async with connected(portal, pair, observers=[seen]) as b24:
        await b24.call("crm.deal.add", {"fields": {}})
    (started,) = seen.of(events.RequestStarted)
    assert started.url == "https://portal.example/rest/crm.deal.add"
    assert started.http_method == "POST"


async def test_the_first_request_of_an_attempt_tells_how_long_it_waited_for_everything() -> None:
    portal, seen = fake_portal(latency=2, refresh_latency=1), Seen()
    async with connected(portal, portal.issue(expired=True), observers=[seen], max_concurrency=1) as b24:
        await asyncio.gather(*(b24.call("profile") for _ in range(3)))
        portal.expire_tokens()
        await b24.call("profile")
    waited = [event.waited for event in seen.of(events.RequestStarted)]
    # A refresh, then the requests before it; at last a request, and one more with a new token.
    assert waited == [pytest.approx(1), pytest.approx(3), pytest.approx(5), pytest.approx(0), None]


async def test_a_logger_of_a_level_below_debug_writes_requests_and_refreshes_as_sentences(
    caplog: pytest.LogCaptureFixture,
) -> None:
    portal = fake_portal()
    logger = logging.getLogger("test.trace")
    caplog.set_level(events.TRACE, logger.name)
    async with connected(portal, portal.issue(expired=True), logger=logger, restriction_params=QUICK) as b24:
        portal.inject(faults.refuse(), on="profile")
        await b24.call("profile")
        portal.expire_tokens()
        portal.revoke_all()
        with pytest.raises(SdkError):
            await b24.call("profile")
    told = [record.getMessage() for record in caplog.records if "refresh_id" in vars(record)]
    portal_name = f"portal {portal.member_id}"
    assert told == [
        f"The token pair of {portal_name} is being renewed",
        f"A call waits until the token pair of {portal_name} is renewed",
        f"The refresh for {portal_name} ended after 0.000 s: a new pair",
        f"The token pair of {portal_name} is being renewed",
        f"A call waits until the token pair of {portal_name} is renewed",
        f"The refresh for {portal_name} ended after 0.000 s: invalid_grant: The refresh token is not valid",
    ]
    told = [record.getMessage() for record in caplog.records if "request " in record.getMessage()]
    assert told[:4] == [
        "profile: request 1 is sent to https://portal.example/rest/profile",
        "profile: request 1 ended after 0.000 s: NetworkError",
        "profile: request 2 is sent to https://portal.example/rest/profile",
        "profile: request 2 ended after 0.000 s: 200",
    ]


@pytest.mark.parametrize("taken", [0, 1, 2, 7, 49, 50])
@pytest.mark.parametrize("calls", [0, 1, 3, 49, 50, 51, 10**9])
async def test_the_room_of_a_bucket_is_what_would_be_admitted(taken: int, calls: int) -> None:
    limiter = RateLimiter(RateLimitConfig(burst_limit=50, drain_rate=0.001))
    for _ in range(taken):
        assert await limiter.acquire_at_once() is not None
    assert limiter.room(calls) == min(calls, 50 - taken)


async def test_the_room_of_a_full_bucket_is_found_in_few_steps_whatever_its_size() -> None:
    limiter = RateLimiter(RateLimitConfig(burst_limit=1e15, drain_rate=1e-3))
    await limiter.fill()
    assert limiter.room(10**15) == 0
