"""The way of one call: what is repeated, what is ambiguous, what a timeout covers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from b24oauth import (
    AccessDeniedError,
    AjaxError,
    AmbiguousResultError,
    ApiVersion,
    ConfigurationError,
    InvalidParamsError,
    NetworkError,
    NotFoundError,
    ParamsFactory,
    RefreshTokenError,
    SdkError,
)
from b24oauth.errors import BadResponseError, ExpiredTokenError, InvalidCallParamsError, RequestTimeoutError
from b24oauth.testing import FakePortal, faults
from tests.support.clients import UNLIMITED, connected, fake_portal

pytestmark = pytest.mark.anyio

ADD = ("crm.deal.add", {"fields": {"TITLE": "x"}})
LOST: list[tuple[str, Callable[[], faults.Fault]]] = [
    ("drop before", faults.drop_before),
    ("drop after", faults.drop_after),
    ("502 html", lambda: faults.html(502)),
    ("504 html", lambda: faults.html(504)),
    ("200 html", lambda: faults.html(200)),
    ("cut off", faults.truncated_json),
    ("empty", faults.empty),
    ("garbage", faults.garbage),
]
lost_answers = pytest.mark.parametrize("fault", [fault for _, fault in LOST], ids=[name for name, _ in LOST])


def rule(**changes: Any) -> dict[str, Any]:
    return {"restriction_params": attrs.evolve(UNLIMITED, **changes)}


def seen(portal: FakePortal, method: str) -> int:
    return sum(request.method == method for request in portal.requests)


@lost_answers
async def test_l5_a_read_whose_answer_is_lost_is_repeated(fault: Callable[[], faults.Fault]) -> None:
    portal = fake_portal(rows={"crm.deal": 5})
    portal.inject(fault(), on="crm.deal.get")
    async with connected(portal) as b24:
        assert (await b24.actions.v2.call.make("crm.deal.get", {"id": 1})).is_success
    assert seen(portal, "crm.deal.get") == 2


@lost_answers
async def test_l5_a_write_whose_answer_is_lost_is_not_repeated_and_says_so(fault: Callable[[], faults.Fault]) -> None:
    portal = fake_portal()
    portal.inject(fault(), on="crm.deal.add")
    async with connected(portal) as b24:
        with pytest.raises(AmbiguousResultError, match="may have been executed"):
            await b24.actions.v2.call.make(*ADD)
    assert seen(portal, "crm.deal.add") == 1


@lost_answers
async def test_l5_a_v3_write_is_repeated_with_the_same_key_and_runs_once(fault: Callable[[], faults.Fault]) -> None:
    portal = fake_portal()
    portal.inject(fault(), on="crm.deal.add")
    async with connected(portal) as b24:
        assert (await b24.actions.v3.call.make(*ADD)).is_success
    assert portal.executed["crm.deal.add"] == 1
    assert seen(portal, "crm.deal.add") == 2


async def test_l5_a_write_marked_as_idempotent_is_repeated() -> None:
    portal = fake_portal()
    portal.inject(faults.drop_after(), on="crm.deal.add")
    async with connected(portal) as b24:
        assert (await b24.actions.v2.call.make(*ADD, idempotent=True)).is_success
    assert portal.executed["crm.deal.add"] == 2


async def test_l5_a_read_marked_as_not_idempotent_is_not_repeated() -> None:
    portal = fake_portal()
    portal.inject(faults.drop_after(), on="profile")
    async with connected(portal) as b24:
        with pytest.raises(AmbiguousResultError):
            await b24.actions.v2.call.make("profile", idempotent=False)


async def test_l5_a_write_that_was_never_sent_is_repeated() -> None:
    portal = fake_portal()
    portal.inject(faults.refuse(), on="crm.deal.add", times=2)
    async with connected(portal) as b24:
        assert (await b24.actions.v2.call.make(*ADD)).is_success
    assert portal.executed["crm.deal.add"] == 1


async def test_l5_the_references_blunt_rule_can_be_chosen() -> None:
    portal = fake_portal()
    portal.inject(faults.drop_after(), on="crm.deal.add")
    async with connected(portal, **rule(retry_on_network_error=True)) as b24:
        assert (await b24.actions.v2.call.make(*ADD)).is_success
    assert portal.executed["crm.deal.add"] == 2


@pytest.mark.parametrize("fault", [faults.refuse(), faults.drop_before()])
async def test_l5_repeats_after_network_errors_can_be_turned_off(fault: faults.Fault) -> None:
    portal = fake_portal()
    portal.inject(fault, on="profile")
    async with connected(portal, **rule(retry_on_network_error=False)) as b24:
        with pytest.raises(NetworkError):
            await b24.actions.v2.call.make("profile")


async def test_l5_a_coded_500_of_a_write_is_not_repeated_and_that_of_a_read_is() -> None:
    portal = fake_portal(rows={"crm.deal": 5})
    for method in ("crm.deal.add", "crm.deal.get"):
        portal.inject(faults.status(500, error="SOMETHING"), on=method)
    async with connected(portal) as b24:
        with pytest.raises(AjaxError, match="SOMETHING"):
            await b24.actions.v2.call.make(*ADD)
        assert (await b24.actions.v2.call.make("crm.deal.get", {"id": 1})).is_success


@pytest.mark.parametrize("status", [502, 504])
async def test_l5_a_write_that_a_gateway_answers_with_json_is_ambiguous(status: int) -> None:
    portal = fake_portal()
    portal.inject(faults.status(status, error="SOME_CODE"), on="crm.deal.add")
    async with connected(portal) as b24:
        with pytest.raises(AmbiguousResultError) as caught:
            await b24.actions.v2.call.make(*ADD)
    assert (caught.value.code, caught.value.status) == ("SOME_CODE", status)


@pytest.mark.parametrize("version", ["v2", "v3"])
async def test_l5_a_write_that_may_have_run_stays_ambiguous_when_its_repeats_are_refused(version: str) -> None:
    portal = fake_portal()
    portal.inject(faults.drop_after(), on="crm.deal.add")
    portal.inject(faults.status(503, error="QUERY_LIMIT_EXCEEDED"), on="crm.deal.add", times=None)
    async with connected(portal, **rule(retry_on_network_error=True)) as b24:
        with pytest.raises(AmbiguousResultError, match="may have been executed"):
            await getattr(b24.actions, version).call.make(*ADD)
    assert portal.executed["crm.deal.add"] == 1


async def test_l5_a_write_that_may_have_run_says_so_when_its_repeat_gets_no_token() -> None:
    portal = fake_portal()
    portal.inject(faults.drop_after(), on="crm.deal.add")
    portal.inject(faults.status(401, error="expired_token"), on="crm.deal.add", times=None)
    portal.inject(faults.status(400, error="invalid_grant"), on="oauth/token", times=None)
    async with connected(portal) as b24:
        with pytest.raises(RefreshTokenError) as caught:
            await b24.actions.v3.call.make(*ADD)
        assert ["may have been executed" in note for note in caught.value.__notes__] == [True]
        with pytest.raises(RefreshTokenError) as caught:
            await b24.actions.v3.call.make(*ADD)
    assert not hasattr(caught.value, "__notes__")


async def test_l4_waiting_calls_are_not_sent_when_others_have_used_up_the_budget() -> None:
    # 80 calls of six seconds fit into ten minutes.
    portal = fake_portal(operating={"crm.deal.get": 6.0}, rows={"crm.deal": 5}, latency=0.05)
    async with connected(portal) as b24:
        calls = [b24.actions.v2.call.make("crm.deal.get", {"id": 1}) for _ in range(400)]
        results = await asyncio.gather(*calls)
    assert all(result.is_success for result in results)
    assert portal.clock.elapsed <= 4 * 620
    # Those under way when it runs out, each time.
    assert sum(request.status == 429 for request in portal.requests) <= 4 * 10


async def test_t5_a_call_that_waited_while_others_renewed_renews_for_itself() -> None:
    portal = fake_portal(rows={"crm.deal": 5}, latency=1.0)
    async with connected(portal, max_concurrency=2) as b24:
        calls = [asyncio.create_task(b24.actions.v2.call.make("crm.deal.get", {"id": 1})) for _ in range(20)]
        for _ in range(2):
            await asyncio.sleep(3.5)
            portal.expire_tokens()
        assert all([(await call).is_success for call in calls])
    assert len(portal.token_requests) == 2


async def test_t5_a_redirect_that_renewed_leaves_no_renewal_for_a_401() -> None:
    portal = fake_portal(origin="https://old.example")
    async with connected(portal) as b24:
        portal.rename("https://new.example")
        portal.inject(faults.status(401, error="expired_token"), on="profile", after=1, times=None)
        with pytest.raises(ExpiredTokenError):
            await b24.actions.v2.call.make("profile")
    assert len(portal.token_requests) == 1


async def test_a_read_that_is_never_answered_fails_after_the_last_attempt() -> None:
    portal = fake_portal()
    portal.inject(faults.drop_before(), on="profile", times=None)
    async with connected(portal) as b24:
        with pytest.raises(NetworkError, match="profile"):
            await b24.actions.v2.call.make("profile")
    assert seen(portal, "profile") == 3


async def test_an_answer_that_is_no_answer_of_bitrix24_says_what_it_was() -> None:
    portal = fake_portal()
    portal.inject(faults.html(200), on="profile", times=None)
    async with connected(portal) as b24:
        with pytest.raises(BadResponseError, match="text/html"):
            await b24.actions.v2.call.make("profile")


# --- A2 ---------------------------------------------------------------------------------------------------------------


async def test_a2_a_timeout_covers_the_wait_for_the_rate() -> None:
    portal = fake_portal()
    params = attrs.evolve(
        ParamsFactory.get_default(), rate_limit=attrs.evolve(UNLIMITED.rate_limit, burst_limit=1, drain_rate=0.01)
    )
    async with connected(portal, restriction_params=params) as b24:
        await b24.actions.v2.call.make("profile")
        with pytest.raises(RequestTimeoutError, match="5 seconds"):
            await b24.actions.v2.call.make(*ADD, timeout=5)
    assert portal.clock.elapsed == pytest.approx(5)
    assert seen(portal, "crm.deal.add") == 0


async def test_a2_a_timeout_covers_the_renewal_which_goes_on() -> None:
    portal = fake_portal(refresh_latency=10)
    async with connected(portal, portal.issue(expired=True)) as b24:
        with pytest.raises(TimeoutError):
            await b24.actions.v2.call.make("profile", timeout=5)
        assert (await b24.actions.v2.call.make("profile")).is_success
    assert len(portal.token_requests) == 1


async def test_a2_a_timeout_covers_the_pauses_between_repeats() -> None:
    portal = fake_portal()
    portal.inject(faults.drop_before(), on="profile", times=None)
    async with connected(portal, **rule(retry_delay=60.0)) as b24:
        with pytest.raises(RequestTimeoutError):
            await b24.actions.v2.call.make("profile", timeout=5)
    assert portal.clock.elapsed == pytest.approx(5)


@pytest.mark.parametrize(("call", "error"), [(ADD, AmbiguousResultError), (("profile",), RequestTimeoutError)])
async def test_a2_a_write_under_way_when_time_runs_out_is_ambiguous(call: Any, error: type[SdkError]) -> None:
    portal = fake_portal(latency=60)
    async with connected(portal) as b24:
        with pytest.raises(error, match="5 seconds"):
            await b24.actions.v2.call.make(*call, timeout=5)


async def test_a2_a_timeout_of_the_caller_is_the_callers() -> None:
    portal = fake_portal(latency=60)
    async with connected(portal) as b24:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(1):
                await b24.actions.v2.call.make("profile", timeout=5)
    assert not isinstance(caught.value, SdkError)


# --- what is sent -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", list(ApiVersion))
async def test_params_that_cannot_be_sent_are_refused_before_anything_is_sent(version: ApiVersion) -> None:
    portal = fake_portal()
    circular: dict[str, Any] = {}
    circular["self"] = circular
    async with connected(portal) as b24:
        for params in (circular, {"x": object()}, {"x": float("nan")}, "text"):
            with pytest.raises(InvalidParamsError) as caught:
                await getattr(b24.actions, version).call.make("profile", params)
            assert isinstance(caught.value, InvalidCallParamsError)
            assert isinstance(caught.value, ValueError)
    assert not portal.requests


@pytest.mark.parametrize("key", ["", "x" * 256, "with space", "ключ", "line\nbreak"])
async def test_a_bad_idempotency_key_is_refused_before_anything_is_sent(key: str) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        with pytest.raises(ConfigurationError, match="idempotency_key"):
            await b24.actions.v3.call.make(*ADD, idempotency_key=key)
        with pytest.raises(ConfigurationError, match="only works with v3"):
            await b24.actions.v2.call.make(*ADD, idempotency_key="key")
    assert not portal.requests


async def test_errors_are_of_classes_that_people_want_to_catch() -> None:
    async with connected(fake_portal(rows={"crm.deal": 1})) as b24:
        with pytest.raises(NotFoundError):
            await b24.actions.v2.call.make("no.such.method")


async def test_a_soft_error_is_inside_of_the_result_and_raised_by_asking_for_the_result() -> None:
    portal = fake_portal()
    portal.inject(faults.status(400, error="ERROR_ENTITY_NOT_FOUND", description="gone"), on="crm.deal.get")
    async with connected(portal) as b24:
        response = await b24.actions.v2.call.make("crm.deal.get", {"id": 1})
    assert not response.is_success
    assert response.status == 400
    assert response.get_data() is None
    with pytest.raises(NotFoundError, match="gone"):
        _ = response.result


async def test_own_hard_and_soft_codes_are_obeyed() -> None:
    portal = fake_portal()
    portal.inject(faults.status(500, error="MINE_HARD"), on="profile")
    portal.inject(faults.status(500, error="MINE_SOFT"), on="server.time")
    async with connected(portal, **rule(hard_error_codes=["MINE_HARD"], soft_error_codes=["MINE_SOFT"])) as b24:
        with pytest.raises(AjaxError, match="MINE_HARD"):
            await b24.actions.v2.call.make("profile")
        assert (await b24.actions.v2.call.make("server.time")).has_error("base-error")
    assert seen(portal, "profile") == seen(portal, "server.time") == 1


async def test_next_pages_are_asked_with_the_same_query() -> None:
    async with connected(fake_portal(rows={"crm.deal": 70})) as b24:
        first = await b24.actions.v2.call.make("crm.deal.list", {"select": ["ID"]})
        second = await first.get_next(b24.get_http_client(ApiVersion.V2))
        assert second is not None
        assert len(first.result) == 50
        assert len(second.result) == 20
        assert first.get_total() == 70
        assert await second.get_next(b24.get_http_client(ApiVersion.V2)) is None


async def test_tools_tell_whether_the_portal_answers() -> None:
    portal = fake_portal(latency=0.25)
    async with connected(portal) as b24:
        assert await b24.tools.ping.make() >= 0
        assert await b24.tools.health_check.make()
        portal.inject(faults.status(200, error="ACCESS_DENIED"), on="server.time", times=2)
        assert await b24.tools.ping.make() == -1
        assert not await b24.tools.health_check.make()
        portal.revoke_all()
        portal.expire_tokens()
        assert await b24.tools.ping.make() == -1


async def test_init_is_admin() -> None:
    async with connected(fake_portal(is_admin=False)) as b24:
        with pytest.raises(SdkError, match="init_is_admin"):
            _ = b24.auth.is_admin
        await b24.init_is_admin()
        assert b24.auth.is_admin is False


# --- errors without a code --------------------------------------------------------------------------------------------


async def test_a_missing_deal_is_not_found_however_it_is_asked_for() -> None:
    async with connected(fake_portal()) as b24:
        v2 = b24.actions.v2
        with pytest.raises(NotFoundError) as caught:
            await v2.call.make("crm.deal.get", {"id": 404}, request_id="request-9")
        batch = await v2.batch.make({"a": ("crm.deal.get", {"id": 404})})
        modern = await b24.actions.v3.call.make("crm.deal.get", {"id": 404})
    error = caught.value
    assert (error.code, error.status, error.message) == ("ERR_BAD_REQUEST", 400, "Not found")
    assert str(error).endswith("Not found [crm.deal.get, request request-9]")
    assert isinstance(batch.errors["a"], NotFoundError)
    assert isinstance(modern.errors["base-error"], NotFoundError)


@pytest.mark.parametrize("code", ["", "0"])
@pytest.mark.parametrize("status", [200, 400])
async def test_an_error_without_a_code_is_never_a_success(code: str, status: int) -> None:
    portal = fake_portal()
    portal.inject(faults.status(status, error=code, description="Access denied"), on="crm.deal.get")
    async with connected(portal) as b24:
        with pytest.raises(AccessDeniedError, match="Access denied"):
            _ = (await b24.actions.v2.call.make("crm.deal.get", {"id": 1})).result
    assert seen(portal, "crm.deal.get") == 1


@pytest.mark.parametrize(
    "method", ["landing.site.getFolders", "TASK.ITEM.GETDATA", "user.admin", "disk.file.getVersions"]
)
async def test_l5_a_documented_read_is_repeated_after_a_lost_answer(method: str) -> None:
    portal = fake_portal()
    portal.method(method, lambda _: "read")
    portal.inject(faults.drop_after(), on=method)
    async with connected(portal) as b24:
        assert (await b24.actions.v2.call.make(method)).result == "read"


@pytest.mark.parametrize(
    "method", ["imbot.v2.Event.get", "im.notify.read.list", "disk.file.getExternalLink", "x.getit"]
)
async def test_l5_what_only_looks_like_a_read_is_not_repeated(method: str) -> None:
    portal = fake_portal()
    portal.method(method, lambda _: "written")
    portal.inject(faults.drop_after(), on=method)
    async with connected(portal) as b24:
        with pytest.raises(AmbiguousResultError):
            await b24.actions.v2.call.make(method)
    assert portal.executed[method.lower()] == 1


async def test_l5_a_write_that_fails_without_a_code_was_answered() -> None:
    portal = fake_portal()
    portal.inject(faults.status(500, error="", description="Something broke"), on="crm.deal.add")
    async with connected(portal) as b24:
        with pytest.raises(AjaxError, match="Something broke") as caught:
            await b24.actions.v2.call.make(*ADD)
    assert type(caught.value) is AjaxError
