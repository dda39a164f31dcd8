"""`Retry-After` of the portal: respected within bounds, else raised at once with the error."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from b24oauth import RateLimitError, RestrictionParams
from b24oauth.errors import OperatingLimitError
from b24oauth.protocol.retry_after import retry_after
from b24oauth.testing.messages import Answer
from tests.support.clients import UNLIMITED, connected, fake_portal

pytestmark = pytest.mark.anyio

DATE = "Tue, 15 Nov 2033 08:12:31 GMT"


def now() -> float:
    return asyncio.get_running_loop().time()


def refusing(status: int, **headers: str) -> Any:
    code = {503: "QUERY_LIMIT_EXCEEDED", 429: "OPERATION_TIME_LIMIT"}[status]
    body = json.dumps({"error": code, "error_description": "refused"}).encode()
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]

    async def fault(_: Any) -> Answer:
        return Answer(status=status, body=body, headers=(("content-type", "application/json"), *named))

    return fault


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": "9" * 30}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "7.5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "\u0663"}, None),
        ({"retry-after": "Tue, 15 Nov 2033 08:13:01 GMT", "date": DATE}, 30.0),
        ({"retry-after": "Tue, 15 Nov 2033 08:12:01 GMT", "date": DATE}, 0.0),
        ({"retry-after": "Tue, 15 Nov 2033 08:13:01 GMT"}, None),
        ({"retry-after": "Tue, 99 Nov 2033 08:13:01 GMT", "date": DATE}, None),
        ({"retry-after": "Tue, 15 Nov 2033 08:13:01", "date": "Tue, 15 Nov 2033 08:12:31"}, 30.0),
    ],
)
def test_seconds_and_dates_are_read_and_anything_else_is_absent(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


@pytest.mark.parametrize(("status", "asked"), [(503, 40), (503, 60), (429, 120), (429, 600)])
async def test_l5_a_refused_call_waits_as_long_as_it_is_asked_to(status: int, asked: int) -> None:
    portal = fake_portal()
    portal.inject(refusing(status, retry_after=str(asked)), on="profile")
    async with connected(portal) as b24:
        started = now()
        assert await b24.call("profile")
        assert asked <= now() - started <= asked + 5


@pytest.mark.parametrize(("status", "asked", "kind"), [(503, "61", RateLimitError), (429, "601", OperatingLimitError)])
async def test_what_takes_too_long_is_raised_at_once_with_the_seconds(status: int, asked: str, kind: Any) -> None:
    portal = fake_portal()
    portal.inject(refusing(status, retry_after=asked), on="profile", times=None)
    async with connected(portal) as b24:
        started = now()
        with pytest.raises(kind) as caught:
            await b24.call("profile")
        assert caught.value.retry_after == float(asked)
        assert now() == started


async def test_a2_a_wait_that_does_not_fit_the_timeout_of_the_call_is_not_begun() -> None:
    portal = fake_portal()
    portal.inject(refusing(503, retry_after="30"), on="profile", times=None)
    async with connected(portal) as b24:
        started = now()
        with pytest.raises(RateLimitError) as caught:
            await b24.call("profile", timeout=10)
        assert (caught.value.retry_after, now()) == (30.0, started)


async def test_l1_nobody_sends_while_the_portal_asks_to_wait() -> None:
    portal = fake_portal()
    portal.inject(refusing(503, retry_after="20"), on="profile")
    async with connected(portal) as b24:
        first = asyncio.create_task(b24.call("profile"))
        await asyncio.sleep(0.1)
        sent = len(portal.requests)
        others = [asyncio.create_task(b24.call("server.time")) for _ in range(5)]
        await asyncio.sleep(15)
        assert len(portal.requests) == sent
        await asyncio.gather(first, *others)
        assert now() >= 20


async def test_a_refusal_without_the_header_says_nothing_of_seconds() -> None:
    portal = fake_portal()
    portal.inject(refusing(503), on="profile", times=None)
    params = RestrictionParams(rate_limit=UNLIMITED.rate_limit, max_retries=1)
    async with connected(portal, restriction_params=params) as b24:
        with pytest.raises(RateLimitError) as caught:
            await b24.call("profile")
    assert caught.value.retry_after is None
