"""Requests of the fake portal to applications are written as Bitrix24 writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from b24oauth.apps import Event, Installed, PageOpened, RobotStarted, read_request
from b24oauth.protocol.forms import read_form
from b24oauth.testing import FakePortal, VirtualClock
from b24oauth.testing.applications import encode_form, event_body, page_request, robot_body

PAYLOADS = Path(__file__).parents[1] / "data" / "payloads"


@pytest.mark.parametrize("path", sorted(PAYLOADS.glob("*.form")), ids=lambda path: path.stem)
def test_a_form_is_written_as_php_writes_it(path: Path) -> None:
    fields = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["form"]
    assert encode_form(fields) == path.read_bytes().strip()


def test_null_and_empty_parts_are_left_out() -> None:
    assert encode_form({"a": None, "b": {}, "c": [], "d": True, "e": False, "f": ""}) == b"d=1&e=0&f="


def test_an_event_a_robot_and_a_page_are_what_they_are_read_as() -> None:
    portal = FakePortal(clock=VirtualClock())
    event = read_request(read_form(event_body(portal, "ONCRMDEALADD", {"FIELDS": {"ID": 5}})))
    assert isinstance(event, Event)
    assert (event.object_id, event.auth.application_token) == ("5", portal.application_token)
    assert isinstance(read_request(read_form(event_body(portal, "ONAPPINSTALL"))), Installed)
    silent = read_request(read_form(event_body(portal, "ONCRMDEALADD", with_tokens=False, domain=None)))
    assert isinstance(silent, Event)
    assert (silent.auth.access_token, silent.auth.domain, silent.auth.member_id) == ("", "", portal.member_id)
    robot = read_request(read_form(robot_body(portal, "demo", {"amount": 3}, waits=True)))
    assert isinstance(robot, RobotStarted)
    assert (robot.waits, robot.properties) == (True, {"amount": "3"})
    request = page_request(portal, user_id=7, placement="CRM_DEAL_DETAIL_TAB")
    page = read_request(read_form(request.body), read_form(request.query))
    assert isinstance(page, PageOpened)
    assert (page.domain, page.is_https, page.placement) == ("portal.example", True, "CRM_DEAL_DETAIL_TAB")
