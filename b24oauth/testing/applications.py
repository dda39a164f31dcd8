"""What a portal sends to an application, for tests of applications: events, pages and robots as raw requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote_plus

import attrs

from b24oauth.shapes import is_mapping, is_sequence
from b24oauth.testing.portal import FakePortal

__all__ = ["PageRequest", "encode_form", "event_body", "page_request", "robot_body"]

_EVENT_TOKEN: Final = "65f0a1b2c3d4e5.00000001|A1|fake-event-token"  # noqa: S105 - of a fake workflow
_NO_TOKENS: Final = frozenset({"access_token", "refresh_token", "expires", "expires_in", "scope", "status", "user_id"})


@attrs.frozen
class PageRequest:
    """The request of a browser that opens a page.

    Attributes:
        query: The query string.
        body: The form.
    """

    query: str = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)


def encode_form(fields: Mapping[str, Any]) -> bytes:
    """A form as PHP writes it: texts only, true as 1, false as 0, and nothing for null and for what is empty.

    Args:
        fields: The fields; mappings and lists may be nested.

    Source: https://www.php.net/manual/en/function.http-build-query.php
    """
    pairs: list[str] = []

    def add(name: str, value: object) -> None:
        if is_mapping(value):
            for key, part in value.items():
                add(f"{name}[{key}]", part)
        elif is_sequence(value):
            for index, part in enumerate(value):
                add(f"{name}[{index}]", part)
        elif value is not None:
            text = str(int(value)) if isinstance(value, bool) else str(value)
            pairs.append(f"{quote_plus(name)}={quote_plus(text)}")

    for field, value in fields.items():
        add(field, value)
    return "&".join(pairs).encode()


def event_body(
    portal: FakePortal,
    name: str,
    data: object = None,
    *,
    user_id: int = 1,
    ts: int | None = None,
    with_tokens: bool = True,
    **auth: Any,
) -> bytes:
    """The body of an event, as the portal's queue posts it.

    Args:
        portal: The portal.
        name: The event, for example ``ONCRMDEALADD``.
        data: What happened, for example ``{"FIELDS": {"ID": 5}}``.
        user_id: The user who caused it.
        ts: When it was sent, Unix timestamp in seconds; the portal's time by default.
        with_tokens: False for an event that no user caused, such as `ONAPPUNINSTALL`.
        auth: Fields of the `auth` block to be written differently, for forged events; None leaves one out.
    """
    sent = int(portal.clock.now()) if ts is None else ts
    fields = {"event": name, "event_handler_id": "1", "data": data, "ts": sent}
    return encode_form(fields | {"auth": _auth(portal, user_id, with_tokens=with_tokens) | auth})


def robot_body(
    portal: FakePortal,
    code: str,
    properties: Mapping[str, Any] | None = None,
    *,
    waits: bool = False,
    event_token: str = _EVENT_TOKEN,
    **auth: Any,
) -> bytes:
    """The body of a request for a robot or an activity.

    Args:
        portal: The portal.
        code: `CODE` that the robot was registered with.
        properties: Its settings.
        waits: Whether the workflow waits for the answer.
        event_token: Needed for the answer.
        auth: Fields of the `auth` block to be written differently; None leaves one out.
    """
    fields = {
        "workflow_id": "65f0a1b2c3d4e5.00000001",
        "code": code,
        "document_id": ["crm", "CCrmDocumentDeal", "DEAL_1"],
        "document_type": ["crm", "CCrmDocumentDeal", "DEAL"],
        "event_token": event_token,
        "properties": properties,
        "use_subscription": "Y" if waits else "N",
        "timeout_duration": 0,
        "ts": int(portal.clock.now()),
        "auth": _auth(portal, 1, with_tokens=True) | auth,
    }
    return encode_form(fields)


def page_request(portal: FakePortal, *, user_id: int = 1, placement: str = "DEFAULT", **fields: Any) -> PageRequest:
    """The request of a user who opens a page of the application.

    Args:
        portal: The portal.
        user_id: The user.
        placement: ``DEFAULT`` for the main and the installation page, else the code of the placement.
        fields: Fields of the form to be written differently, for forged requests; None leaves one out.
    """
    pair = portal.issue(user_id)
    scheme, _, domain = portal.origin.partition("://")
    query = {"DOMAIN": domain, "PROTOCOL": int(scheme == "https"), "LANG": "en", "APP_SID": "fake-frame"}
    form = {
        "AUTH_ID": pair.access_token,
        "AUTH_EXPIRES": pair.expires_in,
        "REFRESH_ID": pair.refresh_token,
        "SERVER_ENDPOINT": pair.server_endpoint,
        "APPLICATION_TOKEN": portal.application_token,
        "APPLICATION_SCOPE": portal.scope,
        "member_id": portal.member_id,
        "status": portal.payment.status,
        "PLACEMENT": placement,
    }
    return PageRequest(encode_form(query).decode(), encode_form(form | fields))


def _auth(portal: FakePortal, user_id: int, *, with_tokens: bool) -> dict[str, Any]:
    fields = portal.issue(user_id).to_dict() | {"application_token": portal.application_token, "user_id": user_id}
    return fields if with_tokens else {name: value for name, value in fields.items() if name not in _NO_TOKENS}
