"""Everything that Bitrix24 sends to an application is read whole; what nobody sends is refused by name."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from b24oauth import B24OAuthParams
from b24oauth.apps import (
    BotEvent,
    CodeReturned,
    Event,
    Installed,
    MessageRequested,
    MethodConfirmed,
    OfflineSignal,
    PageOpened,
    Paid,
    RobotStarted,
    SettingsOpened,
    SettingsSaved,
    Uninstalled,
    UserReady,
    is_genuine,
    read_body,
    read_event,
    read_request,
)
from b24oauth.errors import InvalidDataError
from b24oauth.protocol.forms import read_form
from b24oauth.testing.brackets import parse_query
from tests.support.examples import examples

PAYLOADS = Path(__file__).parents[1] / "data" / "payloads"
INDEX: dict[str, Any] = json.loads((PAYLOADS / "index.json").read_text(encoding="utf-8"))
SECRETS = ("access", "refresh", "application", "exampleauthorizationcode", "bottoken", "eventid")


def sample(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Form and query of a sample, from the raw bytes."""
    parts = [PAYLOADS / f"{name}.form", PAYLOADS / f"{name}.query"]
    form, query = (read_form(part.read_bytes().strip()) if part.exists() else {} for part in parts)
    return form, query


def read(name: str) -> Any:
    return read_request(*sample(name))


@pytest.mark.parametrize("name", INDEX)
def test_a_sample_is_read_as_php_reads_it(name: str) -> None:
    expected = json.loads((PAYLOADS / f"{name}.json").read_text(encoding="utf-8"))
    assert sample(name) == (expected["form"], expected["query"])


@pytest.mark.parametrize("name", INDEX)
def test_a_sample_becomes_an_object_that_shows_no_secret(name: str) -> None:
    request = read(name)
    for secret in SECRETS:
        assert f"example{secret}" not in repr(request)
        assert secret not in repr(request) or not secret.startswith("example")


KINDS = {
    "install": (Installed, UserReady), "update": Event, "uninstall": Uninstalled, "payment": Event, "test": Event,
    "confirm": MethodConfirmed, "event": Event, "webhook": Event, "page": PageOpened, "robot": RobotStarted,
    "provider": MessageRequested, "telephony": Event, "bot": BotEvent, "settings": (SettingsOpened, SettingsSaved),
    "oauth": CodeReturned,
}  # fmt: skip


@pytest.mark.parametrize("name", INDEX)
def test_a_sample_has_the_class_of_its_kind(name: str) -> None:
    assert isinstance(read(name), KINDS[INDEX[name]["kind"]])


@pytest.mark.parametrize("name", [name for name in INDEX if (PAYLOADS / f"{name}.form").exists()])
def test_every_field_that_may_be_absent_may_be_absent(name: str) -> None:
    form, query = sample(name)
    for field in form:
        if field not in ("event", "AUTH_ID", "PLACEMENT", "code", "workflow_id", "message_id", "saveform"):
            read_request({key: value for key, value in form.items() if key != field}, query)
    for block in ("auth", "data"):
        for field in form.get(block, {}):
            parts = {key: value for key, value in form[block].items() if key != field}
            read_request({**form, block: parts}, query)


@pytest.mark.parametrize("name", [name for name in INDEX if (PAYLOADS / f"{name}.form").exists()])
def test_a_field_of_a_wrong_type_is_named_and_not_shown(name: str) -> None:
    form, query = sample(name)
    for field in form.get("auth", {}):
        for wrong in ({"S3CR3T": "x"}, ["S3CR3T"]):
            with pytest.raises(InvalidDataError, match=rf"auth\[{field}\] must be") as raised:
                read_request({**form, "auth": {**form["auth"], field: wrong}}, query)
            assert "S3CR3T" not in str(raised.value)
    with pytest.raises(InvalidDataError, match="auth must be a mapping"):
        read_request({"event": "X", **form, "auth": "text"}, query)


def test_fields_of_the_events_about_the_application() -> None:
    installed = read("onappinstall")
    assert (installed.version, installed.language, installed.auth.user_id) == ("1", "en", 7)
    assert installed.auth.scope == ("crm", "task", "user_brief")
    assert read("onappinstall_short").auth.scope[:2] == ("crm", "task")
    assert (read("onappuninstall_clean").cleans, read("onappuninstall_keep").cleans) == (True, False)
    paid = read("onapppayment_no_token")
    assert isinstance(paid, Paid)
    assert (paid.code, paid.days, paid.is_expired, paid.auth.application_token) == ("vendor.demo_app", 28, False, "")
    assert attrs.evolve(paid).status == "S"
    confirmed = read("onappmethodconfirm")
    assert (confirmed.method, confirmed.is_allowed) == ("voximplant.user.get", True)
    assert read("onapptest").query
    assert isinstance(read("onofflineevent"), OfflineSignal)


def test_days_after_the_paid_time_are_negative() -> None:
    form, _ = sample("onapppayment")
    late = read_event({**form, "data": {**form["data"], "DAYS": "-3"}})
    assert isinstance(late, Paid)
    assert late.days == -3
    unlimited = read_event({**form, "data": {"CODE": "x"}})
    assert isinstance(unlimited, Paid)
    assert unlimited.days is None


def test_an_event_names_its_object() -> None:
    assert read("oncrmdealadd").object_id
    assert read("ontaskupdate").object_id == "123"
    assert read("oncalendarentryadd").object_id
    assert read("onofflineevent").object_id == ""


def test_a_name_of_an_event_is_compared_in_upper_case() -> None:
    assert read_event({"event": "onCrmDealAdd"}).name == "ONCRMDEALADD"
    assert isinstance(read("settings_change"), SettingsOpened)


def test_a_bot_event_has_two_blocks_and_the_bots_own_proves_nothing() -> None:
    event = read("imbotv2_messageadd")
    assert (event.bot_id, event.bot_code) == ("456", "demo_bot")
    assert event.bot_auth is not None
    assert event.bot_auth.user_id == 456
    assert event.auth.access_token == ""
    assert read("imbotv2_delete").bot_auth is None


def test_fields_of_robots_and_providers() -> None:
    robot = read("robot_wait")
    assert (robot.waits, robot.timeout, robot.document_id[2]) == (True, 0, "DEAL_7405")
    assert robot.properties["users"] == ["user_7", "user_12"]
    assert not read("robot_no_wait").waits
    message = read("sms_provider")
    assert (message.recipient, message.code, message.type) == ("+15550100", "demo_sms", "SMS")
    assert read("settings_save").data["country"] == "DE"


def test_fields_of_pages() -> None:
    tab = read("placement_deal_tab")
    assert (tab.placement, tab.options["ID"], tab.is_https) == ("CRM_DEAL_DETAIL_TAB", "8061", True)
    assert read("placement_undefined_options").options is None
    assert read("page_legacy").application_token == ""
    code = read("oauth_code_return")
    assert (code.server_domain, code.scope[0]) == ("oauth.bitrix.info", "crm")


# --- token pairs ------------------------------------------------------------------------------------------------------


def test_the_pair_of_an_installation() -> None:
    pair = read("onappinstall").pair()
    assert pair == B24OAuthParams.from_event(sample("onappinstall")[0])
    assert (pair.domain, pair.user_id, pair.expires) == ("portal-example.bitrix24.com", 7, 1790003600)
    assert pair.application_token == "exampleapplicationtoken000000001"


def test_the_pair_of_a_system_user_is_in_the_data_and_its_domain_is_the_portals() -> None:
    pair = read("onappuserready").pair()
    assert (pair.user_id, pair.domain) == (512, "portal-example.bitrix24.com")
    assert pair.access_token == "examplesystemaccess0000000000001"
    assert pair.expires == 1790000000 + 3600


def test_a_pair_without_a_time_of_expiry_is_counted_from_when_the_event_was_sent() -> None:
    form, _ = sample("onappinstall_short")
    assert B24OAuthParams.from_event(form).expires == int(form["ts"]) + 3600
    del form["ts"]
    assert B24OAuthParams.from_event(form).expires == 0


def test_an_endpoint_that_is_no_address_is_named() -> None:
    form, _ = sample("onappinstall")
    with pytest.raises(InvalidDataError, match="client_endpoint must be a URL"):
        B24OAuthParams.from_event({**form, "auth": {**form["auth"], "client_endpoint": "https://[x]/rest/"}})


def test_a_flat_form_is_read_like_a_nested_one() -> None:
    form, _ = sample("onappinstall")
    flat = {name: value for name, value in form.items() if not isinstance(value, dict)}
    flat |= {f"{block}[{name}]": value for block in ("auth", "data") for name, value in form[block].items()}
    assert B24OAuthParams.from_event(flat) == B24OAuthParams.from_event(form)
    assert read_event(flat).auth == read_event(form).auth


@pytest.mark.parametrize("name", ["oncrmdealadd", "onappuninstall_clean", "onappinstall_no_tokens", "outgoing_webhook"])
def test_an_event_without_tokens_says_so(name: str) -> None:
    with pytest.raises(InvalidDataError, match="is missing: only events about the application"):
        read(name).pair()
    with pytest.raises(InvalidDataError, match="no block `auth`"):
        B24OAuthParams.from_event({"event": "ONAPPINSTALL"})


def test_the_pair_of_a_page() -> None:
    form, query = sample("page_default")
    pair = B24OAuthParams.from_placement(form, query, received_at=1000.5)
    assert (pair.expires, pair.expires_in) == (4600, 3600)
    assert pair.client_endpoint == "https://portal-example.bitrix24.com/rest/"
    assert pair == read("page_default").pair(received_at=1000.5)
    assert pair.server_endpoint == "https://oauth.bitrix.info/rest/"
    local = B24OAuthParams.from_placement(form, {**query, "PROTOCOL": "0"}, received_at=0)
    assert local.client_endpoint.startswith("http://")
    legacy = B24OAuthParams.from_placement(*sample("page_legacy"), received_at=0)
    assert (legacy.application_token, legacy.scope) == ("", "")
    with pytest.raises(InvalidDataError, match=r"AUTH_ID is missing; .*DOMAIN is missing"):
        B24OAuthParams.from_placement({}, {}, received_at=0)


def test_the_pair_of_a_token_response() -> None:
    response = {
        "access_token": "a", "refresh_token": "r", "expires_in": 3600, "client_endpoint": "https://p.bitrix24.com/rest/",
        "server_endpoint": "https://oauth.bitrix.info/rest/", "domain": "oauth.bitrix.info", "member_id": "m",
        "scope": "crm,task", "status": "L",
    }  # fmt: skip
    pair = B24OAuthParams.from_token_response(response, received_at=1000.0)
    assert (pair.expires, pair.domain, pair.member_id) == (4600, "p.bitrix24.com", "m")
    renewed = B24OAuthParams.from_token_response({**response, "expires": 7, "user_id": 5}, received_at=1000.0)
    assert (renewed.expires, renewed.user_id) == (7, 5)


# --- hostile bodies ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"a=" + b"x" * (4 * 1024 * 1024), "at most 4194304"),
        (b"a=1&" * 1001, "at most 1000"),
        (b"a" + b"[b]" * 64 + b"=1", "64 levels"),
        (b"a=%ff", "not UTF-8"),
        (b"%ff=1", "not UTF-8"),
    ],
)
def test_a_form_beyond_the_bounds_is_refused(body: bytes, problem: str) -> None:
    with pytest.raises(InvalidDataError, match=problem):
        read_body(body)


@pytest.mark.parametrize("body", [b"[]", b"1", b"{", b"[" * 100_000, b"\xff", b"{}" + b" " * (4 * 1024 * 1024)])
def test_a_json_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidDataError, match="The body"):
        read_body(body, "application/json; charset=utf-8")


def test_a_json_body_is_read_like_a_form() -> None:
    form, _ = sample("onappinstall")
    body = json.dumps({**form, "ts": 1790000000, "auth": {**form["auth"], "user_id": 7}}).encode()
    event = read_event(read_body(body, "application/json"))
    assert event.pair() == B24OAuthParams.from_event(form)


@pytest.mark.parametrize("form", [{}, {"unknown": "1"}, {"event": ""}, {"event": None}, {"code": "x"}])
def test_what_nobody_sends_is_refused(form: dict[str, Any]) -> None:
    with pytest.raises(InvalidDataError):
        read_request(form)


@given(st.text(alphabet="ab[]=&%0123456789.+ -_\0", max_size=60))
def test_the_reader_agrees_with_the_one_of_the_fake_portal(text: str) -> None:
    if "\0" in text or "%" in text:
        return
    assert read_form(text) == parse_query(text)


def test_hostile_bodies_give_the_named_error_or_an_object() -> None:
    chance, told = random.Random(14), list[str]()
    bodies = [path.read_bytes() for path in sorted(PAYLOADS.glob("*.form"))]
    pieces = (
        b"%00",
        b"[",
        b"]",
        b"&",
        b"=",
        b"%",
        b"\xff",
        b"%F0%9F",
        b"auth=1&",
        b"auth[]=&",
        b"[[[",
        b"event=",
        b"9" * 50,
    )
    for _ in range(examples(500, 10_000)):
        body = bytearray(chance.choice(bodies))
        for _ in range(chance.randint(1, 8)):
            at = chance.randrange(len(body) + 1)
            match chance.randint(0, 3):
                case 0:
                    body[at:at] = chance.choice(pieces) * chance.choice((1, 1, 70))
                case 1:
                    del body[at : at + chance.randint(1, 40)]
                case 2:
                    body[at : at + 1] = bytes([chance.randrange(256)])
                case _:
                    body += b"&" + chance.choice(bodies)
        kind = chance.choice(("", "application/json", "application/x-www-form-urlencoded"))
        try:
            request = read_request(read_body(bytes(body), kind))
            repr(request)
            if isinstance(request, Event):
                request.object_id  # noqa: B018 - must not raise
                request.pair()
        except InvalidDataError as error:
            told.append(str(error))
    assert told
    assert not any("example" in text for text in told)


# --- verification -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_token", "accepted", "expected"),
    [
        ("right", ["right"], True),
        ("right", ["other", "right"], True),
        ("wrong", ["right"], False),
        ("", [""], False),
        ("", [], False),
        ("right", [""], False),
        ("rïght", ["right"], False),
        ("\ud800", ["\ud800"], True),
        ("x" * 100_000, ["x" * 100_000], False),
    ],
)
def test_a_request_is_genuine_only_with_a_token_of_the_portal(
    given_token: str, accepted: list[str], expected: bool
) -> None:
    assert is_genuine(given_token, accepted) is expected
