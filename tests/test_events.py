"""What a client's logger and observers get to know: levels by what an operator must do, and no content at INFO."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from b24oauth import B24OAuth, ConfigurationError, RateLimitConfig, RestrictionParams, SdkError, events
from b24oauth.models import RefreshedAuth
from b24oauth.stores import MemoryStore, TokenKey
from b24oauth.testing import FakePortal, faults
from tests.support.clients import UNLIMITED, connected, fake_portal

pytestmark = pytest.mark.anyio

PHONE = "+79990001122"
QUICK = RestrictionParams(rate_limit=UNLIMITED.rate_limit, retry_delay=0.5)


class Seen:
    """An observer that keeps what it is called with."""

    def __init__(self, level: int = logging.DEBUG) -> None:
        self.level = level
        self.events: list[events.Event] = []

    def __call__(self, event: events.Event) -> None:
        self.events.append(event)

    @property
    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


class BrokenStore(MemoryStore):
    async def save(self, key: TokenKey, params: Any, *, expected: str | None) -> str:
        raise OSError("disk full")


async def nothing(portal: FakePortal, b24: B24OAuth) -> None:
    await b24.actions.v2.call.make("profile")


async def not_found(portal: FakePortal, b24: B24OAuth) -> None:
    with pytest.raises(SdkError):
        await b24.actions.v2.call.make("crm.deal.get", {"id": 777})


async def recovered(portal: FakePortal, b24: B24OAuth) -> None:
    portal.inject(faults.status(500, error="INTERNAL"), on="profile")
    await b24.actions.v2.call.make("profile")


async def given_up(portal: FakePortal, b24: B24OAuth) -> None:
    portal.inject(faults.status(500, error="INTERNAL"), on="profile", times=None)
    with pytest.raises(SdkError):
        await b24.actions.v2.call.make("profile")


async def lost_write(portal: FakePortal, b24: B24OAuth) -> None:
    portal.inject(faults.drop_after(), on="crm.deal.add")
    with pytest.raises(SdkError):
        await b24.actions.v2.call.make("crm.deal.add", {"fields": {"TITLE": "x"}})


async def renewed(portal: FakePortal, b24: B24OAuth) -> None:
    portal.expire_tokens()
    await b24.actions.v2.call.make("profile")


async def revoked(portal: FakePortal, b24: B24OAuth) -> None:
    portal.expire_tokens()
    portal.revoke_all()
    for _ in range(3):
        with pytest.raises(SdkError):
            await b24.actions.v2.call.make("profile")


async def not_saved(portal: FakePortal, b24: B24OAuth) -> None:
    def full(_: RefreshedAuth) -> None:
        raise OSError("disk full")

    b24.set_callback_refresh_auth(full)
    portal.expire_tokens()
    with pytest.raises(SdkError):
        await b24.actions.v2.call.make("profile")
    b24.remove_callback_refresh_auth()


async def unreachable(portal: FakePortal, b24: B24OAuth) -> None:
    portal.inject(faults.refuse(), on="oauth/token", times=None)
    portal.expire_tokens()
    with pytest.raises(SdkError):
        await b24.actions.v2.call.make("profile")


async def throttled(portal: FakePortal, b24: B24OAuth) -> None:
    await b24.set_restriction_manager_params(
        RestrictionParams(rate_limit=RateLimitConfig(burst_limit=1, drain_rate=0.1))
    )
    await asyncio.gather(*(b24.actions.v2.call.make("profile") for _ in range(2)))


MOMENTS: list[tuple[Callable[[FakePortal, B24OAuth], Any], list[tuple[str, str]]]] = [
    (nothing, []),
    (not_found, []),
    (recovered, [("INFO", "profile succeeded: 200")]),
    (given_up, [("WARNING", "profile failed: 500 INTERNAL")]),
    (lost_write, [("WARNING", "crm.deal.add failed: no response, NETWORK_ERROR")]),
    (renewed, [("INFO", "was renewed in")]),
    (revoked, [("ERROR", "must be authorized again")]),
    (not_saved, [("ERROR", "disk full")]),
    (unreachable, [("WARNING", "could not be renewed")]),
    (throttled, [("INFO", "profile: throttled for")] * 2),
]


@pytest.mark.parametrize(("moment", "expected"), MOMENTS)
async def test_levels_say_what_an_operator_must_do(
    moment: Callable[[FakePortal, B24OAuth], Any], expected: list[tuple[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    portal = fake_portal(rows={"crm.deal": 1})
    async with connected(portal, restriction_params=QUICK) as b24:
        caplog.set_level(logging.INFO, "b24oauth")
        await moment(portal, b24)
        records = [record for record in caplog.records if record.name == "b24oauth"]
        caplog.clear()
    assert [record.levelname for record in records] == [level for level, _ in expected]
    for record, (_, part) in zip(records, expected, strict=True):
        assert part in record.getMessage()


async def test_contents_are_written_at_debug_only_and_secrets_never(caplog: pytest.LogCaptureFixture) -> None:
    portal = fake_portal()
    portal.method("crm.contact.get", lambda _: {"PHONE": PHONE})
    portal.method("crm.contact.fail", lambda _: 1 / 0)
    for level in (logging.INFO, logging.DEBUG):
        caplog.clear()
        async with connected(portal, portal.issue(expired=True)) as b24:
            caplog.set_level(level, "b24oauth")
            await b24.actions.v2.call.make("crm.contact.get", {"phone": PHONE})
            secrets = [b24.auth.get_params().access_token, b24.auth.get_params().refresh_token]
        shown = "\n".join(f"{record.getMessage()} {vars(record)!r}" for record in caplog.records)
        assert (PHONE in shown) is (level == logging.DEBUG)
        assert not any(secret in shown for secret in (*secrets, portal.secret.client_secret))


async def test_long_contents_are_cut(caplog: pytest.LogCaptureFixture) -> None:
    portal = fake_portal()
    portal.method("crm.contact.get", lambda _: ["x" * 100_000])
    caplog.set_level(logging.DEBUG, "b24oauth")
    async with connected(portal) as b24:
        await b24.actions.v2.call.make("crm.contact.get", {"text": "y" * 100_000})
    assert max(len(record.getMessage()) for record in caplog.records) < 500


# --- observers -------------------------------------------------------------------------------------------------------


async def test_an_observer_gets_each_event_in_order() -> None:
    portal, seen = fake_portal(), Seen()
    portal.inject(faults.status(500, error="INTERNAL"), on="profile")
    async with connected(portal, portal.issue(expired=True), observers=[seen], restriction_params=QUICK) as b24:
        await b24.actions.v2.call.make("profile", request_id="r")
    assert seen.kinds == [
        "CallStarted",
        "AttemptStarted",
        "TokenRefreshed",
        "AttemptFinished",
        "Retrying",
        "AttemptStarted",
        "AttemptFinished",
        "CallFinished",
    ]
    last = seen.events[-1]
    assert isinstance(last, events.CallFinished)
    assert (last.method, last.api, last.request_id, last.attempts, last.status) == ("profile", "v2", "r", 2, 200)


async def test_each_call_that_starts_finishes_also_when_it_is_cancelled_or_late() -> None:
    portal, seen = fake_portal(latency=5), Seen()
    async with connected(portal, observers=[seen]) as b24:
        call = asyncio.create_task(b24.actions.v2.call.make("profile"))
        await asyncio.sleep(1)
        call.cancel()
        await asyncio.wait({call})
        with pytest.raises(SdkError):
            await b24.actions.v2.call.make("profile", timeout=1)
    finished = [event for event in seen.events if isinstance(event, events.CallFinished)]
    assert seen.kinds.count("CallStarted") == 2
    assert [event.error_code for event in finished] == ["CancelledError", "REQUEST_TIMEOUT"]
    assert [event.level for event in finished] == [logging.DEBUG, logging.WARNING]


@pytest.mark.parametrize("level", [logging.INFO, events.CONTENT])
async def test_an_observer_gets_what_its_level_asks_for(level: int) -> None:
    portal, seen = fake_portal(), Seen(level)
    async with connected(portal, portal.issue(expired=True), observers=[seen]) as b24:
        await b24.actions.v2.call.make("profile")
    assert ("RequestContent" in seen.kinds) is (level == events.CONTENT)
    assert "TokenRefreshed" in seen.kinds
    assert all(event.level >= level for event in seen.events)


async def test_an_observer_that_raises_harms_no_call_and_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    portal, seen = fake_portal(), Seen()

    def broken(event: events.Event) -> None:
        raise ValueError(event)

    async with connected(portal, portal.issue(expired=True), observers=[broken, seen]) as b24:
        for _ in range(3):
            assert (await b24.actions.v2.call.make("profile")).is_success
    assert len(seen.events) > 9
    told = [record for record in caplog.records if "observer" in record.getMessage()]
    assert [(record.levelname, "ValueError" in record.getMessage()) for record in told] == [("ERROR", True)]


async def test_a_portal_that_moves_is_observed() -> None:
    portal, seen = fake_portal(), Seen(logging.INFO)
    async with connected(portal, observers=[seen]) as b24:
        await b24.actions.v2.call.make("profile")
        portal.rename("https://renamed.example")
        await b24.actions.v2.call.make("profile")
    moved = [event for event in seen.events if isinstance(event, events.PortalMoved)]
    assert [(event.before, event.after) for event in moved] == [("portal.example", "renamed.example")]


async def test_t12_no_event_shows_a_secret() -> None:
    portal, seen = fake_portal(), Seen(events.CONTENT)
    async with connected(portal, portal.issue(expired=True), observers=[seen]) as b24:
        before = b24.auth.get_params()
        await b24.actions.v2.call.make("profile", {"auth": before.access_token})
        after = b24.auth.get_params()
    tokens = (before.access_token, before.refresh_token, after.access_token, after.refresh_token)
    shown = "\n".join(f"{event} {event!r} {attrs.asdict(event)!r}" for event in seen.events)
    assert not any(secret in shown for secret in (*tokens, portal.secret.client_secret))


@pytest.mark.parametrize("observers", [5, [5], "print", [None]])
def test_observers_must_be_functions(observers: Any) -> None:
    portal = fake_portal()
    with pytest.raises(ConfigurationError, match="observers"):
        B24OAuth(portal.issue(), portal.secret, observers=observers)


async def test_t12_vars_of_an_http_client_show_no_secret() -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        await b24.actions.v2.call.make("profile")
        pair = b24.auth.get_params()
        shown = repr([vars(b24.get_http_client(version)) for version in ("v2", "v3")])  # type: ignore[arg-type]
    assert not any(secret in shown for secret in (pair.access_token, pair.refresh_token, portal.secret.client_secret))
