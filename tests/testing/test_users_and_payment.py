"""What the fake portal lets its users do, and what it does to an application that is not paid for."""

import pytest

from b24oauth.testing import FakePortal, VirtualClock
from tests.testing.calls import error

pytestmark = pytest.mark.anyio
URL = "https://app.example/b24"


@pytest.fixture
def portal():
    return FakePortal(clock=VirtualClock(), administrators={1})


async def asked(caller, user_id, method, params=None):
    return await caller.v2(method, params, token=caller.portal.issue(user_id).access_token)


async def test_each_user_is_an_administrator_or_not(caller, portal):
    answers = {user: (await asked(caller, user, "user.admin")).json()["result"] for user in (1, 7)}
    assert answers == {1: True, 7: False}
    assert (await asked(caller, 7, "profile")).json()["result"]["ADMIN"] is False
    portal.administrators = {7}
    assert (await asked(caller, 7, "user.admin")).json()["result"] is True


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("event.bind", {"event": "ONUSERADD", "handler": URL, "auth_type": 1}),
        ("event.bind", {"event": "ONCRMDEALADD", "event_type": "offline"}),
        ("event.unbind", {"event": "ONCRMDEALADD", "handler": URL, "event_type": "offline"}),
        ("event.offline.get", {}),
        ("placement.bind", {"PLACEMENT": "LEFT_MENU", "HANDLER": URL}),
        ("placement.unbind", {"PLACEMENT": "LEFT_MENU"}),
        ("placement.get", {}),
        ("bizproc.robot.add", {"CODE": "a", "HANDLER": URL, "NAME": "a"}),
    ],
)
async def test_some_methods_are_for_administrators_only(caller, method, params):
    assert error(await asked(caller, 7, method, params)) == (403, "ACCESS_DENIED")


async def test_a_handler_of_another_user_is_bound_to_that_user_and_is_all_that_the_user_sees(caller, portal):
    await caller.result("event.bind", {"event": "ONUSERADD", "handler": URL})
    await caller.result("event.bind", {"event": "ONCRMDEALADD", "event_type": "offline"})
    await asked(caller, 7, "event.bind", {"event": "ONUSERADD", "handler": URL})
    seen = (await asked(caller, 7, "event.get")).json()["result"]
    assert seen == [{"event": "ONUSERADD", "handler": URL, "auth_type": "7", "offline": 0}]
    assert len(await caller.result("event.get")) == 3


async def test_app_info_tells_how_the_application_is_paid_for(caller, portal):
    facts = await caller.result("app.info")
    assert (facts["STATUS"], facts["PAYMENT_EXPIRED"], facts["DAYS"]) == ("L", "N", None)
    assert not facts.keys() & {"SCOPE", "MEMBER_ID"}
    portal.payment.status, portal.payment.days = "T", -2
    facts = await caller.result("app.info")
    assert (facts["STATUS"], facts["PAYMENT_EXPIRED"], facts["DAYS"]) == ("T", "Y", -2)
    assert (await caller.renew()).json()["status"] == "T"
    answer = await caller.http.post(f"{portal.server_endpoint}app.info", data={"auth": portal.issue().access_token})
    assert answer.json()["result"]["install"]["status"] == "T"


async def test_after_the_grace_period_everything_but_webhooks_is_refused(caller, portal):
    portal.payment.is_required = True
    assert error(await caller.v2("profile")) == (401, "PAYMENT_REQUIRED")
    assert error(await caller.v3("profile")) == (401, "PAYMENT_REQUIRED")
    assert error(await caller.renew()) == (400, "PAYMENT_REQUIRED")
    code = portal.authorization_code()
    assert error(await caller.token(grant_type="authorization_code", code=code)) == (400, "PAYMENT_REQUIRED")
    answer = await caller.http.post(f"{portal.server_endpoint}app.info", data={"auth": caller.pair.access_token})
    assert error(answer) == (401, "PAYMENT_REQUIRED")
    assert (await caller.http.post(f"{portal.webhook()}profile", json={})).status_code == 200
    portal.payment.is_required = False
    assert (await caller.renew()).status_code == 200


async def test_a_webhook_learns_nothing_of_the_application(caller, portal):
    assert error(await caller.http.post(f"{portal.webhook()}app.info", json={})) == (403, "WRONG_AUTH_TYPE")
