"""Requests that are no events: pages, robots, message providers, saved settings, and the return of an authorization."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

import attrs

from b24oauth.apps.events import Event, EventAuth, PortalRequest, read_event
from b24oauth.apps.fields import Fields, shown_masked
from b24oauth.claims import nested
from b24oauth.errors import InvalidDataError
from b24oauth.models import B24OAuthParams, EnumAppStatus
from b24oauth.protocol.forms import MAX_FORM_SIZE, read_form
from b24oauth.shapes import is_mapping
from b24oauth.validating import hidden

__all__ = [
    "CodeReturned",
    "Incoming",
    "MessageRequested",
    "PageOpened",
    "RobotStarted",
    "SettingsSaved",
    "read_body",
    "read_request",
]


@attrs.frozen(kw_only=True)
class PageOpened:
    """A user opened a page or a placement of the application. The browser sends it, so anybody can forge it.

    Attributes:
        member_id: The portal's identifier.
        domain: The portal's domain, maybe with a port.
        is_https: Whether the portal is reached over https.
        language: Language of the interface.
        placement: ``DEFAULT`` for the main and the installation page, else the code of the placement.
        options: What the placement tells; a mapping as a rule, None if there is nothing.
        application_token: Proof that the request comes from the portal; empty on older portals.
        access_token: Token of the user who looks at the page; empty for `BI_ANALYTICS_MENU`.
        refresh_token: Token that renews the pair.
        expires_in: Lifetime of the access token, seconds.
        server_endpoint: REST root of the OAuth server; empty on older portals.
        scope: What the application may do; empty on older portals.
        status: How the application is paid for, as the request says; a hint.
        frame_id: ID of the frame, another one each time.
        form: All fields of the body, secrets included.
        query: All fields of the query string.

    Source: https://apidocs.bitrix24.com/settings/oauth/simple-way.html
    """

    member_id: str
    domain: str
    is_https: bool = True
    language: str = ""
    placement: str = "DEFAULT"
    options: Any = attrs.field(default=None, repr=shown_masked)
    application_token: str = attrs.field(default="", repr=hidden)
    access_token: str = attrs.field(default="", repr=hidden)
    refresh_token: str = attrs.field(default="", repr=hidden)
    expires_in: int = 3600
    server_endpoint: str = ""
    scope: tuple[str, ...] = ()
    status: EnumAppStatus = EnumAppStatus.FREE
    frame_id: str = ""
    form: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False, eq=False)
    query: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False, eq=False)

    def pair(self, *, received_at: float) -> B24OAuthParams:
        """The token pair of the user.

        Args:
            received_at: When the request arrived, Unix timestamp in seconds.

        Raises:
            InvalidDataError: It carries none.
        """
        return B24OAuthParams.from_placement(self.form, self.query, received_at=received_at)


@attrs.frozen(kw_only=True)
class RobotStarted(PortalRequest):
    """A workflow has reached a robot or an activity of the application.

    Attributes:
        code: `CODE` that the robot was registered with.
        workflow_id: The workflow.
        document_id: Module, class and ID of the document, such as ``DEAL_7405``.
        document_type: Module, class and type of the document.
        properties: The robot's settings; one that is not set is an empty text.
        waits: True if the workflow waits for `bizproc.event.send`.
        timeout: Seconds after which the workflow goes on by itself; 0 if it waits without a limit.
        event_token: Needed for the answer.

    Source: https://apidocs.bitrix24.com/api-reference/bizproc/bizproc-robot/index.html
    """

    code: str
    workflow_id: str = ""
    document_id: tuple[str, ...] = ()
    document_type: tuple[str, ...] = ()
    properties: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=shown_masked)
    waits: bool = False
    timeout: int = 0
    event_token: str = attrs.field(default="", repr=hidden)


@attrs.frozen(kw_only=True)
class MessageRequested(PortalRequest):
    """The portal asks a message provider of the application to send a message.

    Attributes:
        code: `CODE` that the provider was registered with.
        message_id: ID for `messageservice.message.status.update`.
        recipient: The phone number.
        text: The message.
        type: Kind of message, such as ``SMS``.
        module: The module that sends it.
        bindings: What it belongs to.

    Source: https://apidocs.bitrix24.com/api-reference/messageservice/index.html
    """

    code: str
    message_id: str = ""
    recipient: str = ""
    text: str = ""
    type: str = ""
    module: str = ""
    bindings: Any = None


@attrs.frozen(kw_only=True)
class SettingsSaved(PortalRequest):
    """A user saved the application's configuration form; the response is shown to him.

    Attributes:
        data: The fields of the form.

    Source: https://apidocs.bitrix24.com/settings/app-installation/mass-market-apps/rest-only-installation-master.html
    """

    data: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=shown_masked)


@attrs.frozen(kw_only=True)
class CodeReturned:
    """The browser returns from the authorization page.

    Attributes:
        code: The authorization code, good once and for 30 seconds.
        state: What the application gave to the authorization page.
        domain: The portal's domain, as the browser says.
        member_id: The portal's identifier, as the browser says.
        scope: What the application may do, as the browser says.
        server_domain: Domain of the OAuth server, as the browser says.

    Source: https://apidocs.bitrix24.com/settings/oauth/index.html
    """

    code: str = attrs.field(repr=hidden)
    state: str = attrs.field(default="", repr=hidden)
    domain: str = ""
    member_id: str = ""
    scope: tuple[str, ...] = ()
    server_domain: str = ""


Incoming: TypeAlias = Event | PageOpened | RobotStarted | MessageRequested | SettingsSaved | CodeReturned


def read_body(body: bytes, content_type: str = "") -> Mapping[str, Any]:
    """The fields of a body: a form, or a JSON object.

    Args:
        body: The body.
        content_type: Its media type, with or without parameters.

    Raises:
        InvalidDataError: It is too large, too deep, or not what its type says.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return read_form(body, "The body")
    if len(body) > MAX_FORM_SIZE:
        raise InvalidDataError("The body", [f"has {len(body)} bytes, at most {MAX_FORM_SIZE} are read"])
    try:
        value: object = json.loads(body)
        # Half of a character, which JSON can write, is no text that a store or a log could keep.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        value = None
    if not is_mapping(value):
        raise InvalidDataError("The body", ["must be a JSON object"])
    return value


def read_request(form: Mapping[str, Any], query: Mapping[str, Any] | None = None) -> Incoming:
    """What a request is, told by its fields.

    Args:
        form: The fields of the body.
        query: The fields of the query string.

    Raises:
        InvalidDataError: It is none of the requests that Bitrix24 sends, or a field is of a wrong type.
    """
    form, query = nested(form), query or {}
    fields = Fields(form)
    if "event" in form:
        return read_event(form)
    if fields.flag("saveform"):
        data = fields.mapping("data")
        return SettingsSaved(auth=EventAuth.read(fields.fields("auth")), data=data, raw=form)
    if "message_id" in form and "code" in form:
        return _message(fields)
    if "workflow_id" in form and "code" in form:
        return _robot(fields)
    if "AUTH_ID" in form or "PLACEMENT" in form or ("DOMAIN" in query and "APP_SID" in query):
        return _page(fields, Fields(query))
    if "code" in query:
        return _code(Fields(query))
    raise InvalidDataError("The request", ["is no event, page, robot, message or return of an authorization"])


def _message(fields: Fields) -> MessageRequested:
    return MessageRequested(
        auth=EventAuth.read(fields.fields("auth")),
        code=fields.text("code"),
        message_id=fields.text("message_id"),
        recipient=fields.text("message_to"),
        text=fields.text("message_body"),
        type=fields.text("type"),
        module=fields.text("module_id"),
        bindings=fields.values.get("bindings"),
        sent_at=fields.number("ts"),
        raw=fields.values,
    )


def _robot(fields: Fields) -> RobotStarted:
    return RobotStarted(
        auth=EventAuth.read(fields.fields("auth")),
        code=fields.text("code"),
        workflow_id=fields.text("workflow_id"),
        document_id=fields.texts("document_id"),
        document_type=fields.texts("document_type"),
        properties=fields.mapping("properties"),
        waits=fields.flag("use_subscription"),
        timeout=fields.number("timeout_duration"),
        event_token=fields.text("event_token"),
        sent_at=fields.number("ts"),
        raw=fields.values,
    )


def _page(form: Fields, query: Fields) -> PageOpened:
    return PageOpened(
        member_id=form.text("member_id"),
        domain=query.text("DOMAIN"),
        is_https=query.text("PROTOCOL", "1") != "0",
        language=query.text("LANG"),
        placement=form.text("PLACEMENT", "DEFAULT"),
        options=_options(form.text("PLACEMENT_OPTIONS")),
        application_token=form.text("APPLICATION_TOKEN"),
        access_token=form.text("AUTH_ID"),
        refresh_token=form.text("REFRESH_ID"),
        expires_in=form.number("AUTH_EXPIRES", 3600),
        server_endpoint=form.text("SERVER_ENDPOINT"),
        scope=form.names("APPLICATION_SCOPE"),
        status=EnumAppStatus(form.text("status")),
        frame_id=query.text("APP_SID"),
        form=form.values,
        query=query.values,
    )


def _options(text: str) -> Any:
    """The options of a placement. Some pages of the portal send the text `undefined`."""
    if not text:
        return None
    try:
        options: object = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidDataError("The request", ["PLACEMENT_OPTIONS must be JSON"]) from None
    return None if options == "undefined" else options


def _code(query: Fields) -> CodeReturned:
    return CodeReturned(
        code=query.needed("code"),
        state=query.text("state"),
        domain=query.text("domain"),
        member_id=query.text("member_id"),
        scope=query.names("scope"),
        server_domain=query.text("server_domain"),
    )
