"""Events of Bitrix24, as objects. Everything in them is a claim until the application token was verified."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import attrs

from b24oauth.apps.fields import Fields, shown_masked
from b24oauth.claims import nested
from b24oauth.errors import ClientStateError
from b24oauth.models import B24OAuthParams, EnumAppStatus
from b24oauth.shapes import as_mapping
from b24oauth.validating import hidden

if TYPE_CHECKING:
    from b24oauth.client import B24OAuth

__all__ = [
    "AppTested",
    "AppUpdated",
    "BotEvent",
    "Clients",
    "Event",
    "EventAuth",
    "Installed",
    "MethodConfirmed",
    "OfflineSignal",
    "Paid",
    "PortalRequest",
    "SettingsOpened",
    "SubscriptionRenewed",
    "Uninstalled",
    "UserReady",
    "object_id",
    "read_event",
]


@attrs.frozen(kw_only=True)
class EventAuth:
    """The `auth` block of a request.

    Attributes:
        member_id: The portal's identifier.
        domain: The portal's domain, or that of the OAuth server in `ONAPPUSERREADY`.
        application_token: Proof that the request comes from the portal; empty if there is none.
        client_endpoint: REST root of the portal.
        server_endpoint: REST root of the OAuth server.
        access_token: Token of the user who caused the event; empty if no user did.
        refresh_token: Empty in all but a few events.
        expires: When the access token expires, Unix timestamp in seconds; 0 if unknown.
        expires_in: Lifetime of the access token, seconds; 0 if unknown.
        scope: What the application may do.
        status: How the application is paid for, as the request says; a hint.
        user_id: The user who caused the event; 0 if unknown.
        client_id: The application; empty in most events.
    """

    member_id: str
    domain: str = ""
    application_token: str = attrs.field(default="", repr=hidden)
    client_endpoint: str = ""
    server_endpoint: str = ""
    access_token: str = attrs.field(default="", repr=hidden)
    refresh_token: str = attrs.field(default="", repr=hidden)
    expires: int = 0
    expires_in: int = 0
    scope: tuple[str, ...] = ()
    status: EnumAppStatus = EnumAppStatus.FREE
    user_id: int = 0
    client_id: str = ""

    @classmethod
    def read(cls, auth: Fields) -> Self:
        """The block of a request.

        Raises:
            InvalidDataError: Naming the field that is of a wrong type.
        """
        return cls(
            member_id=auth.text("member_id"),
            domain=auth.text("domain"),
            application_token=auth.text("application_token"),
            client_endpoint=auth.text("client_endpoint"),
            server_endpoint=auth.text("server_endpoint"),
            access_token=auth.text("access_token"),
            refresh_token=auth.text("refresh_token"),
            expires=auth.number("expires"),
            expires_in=auth.number("expires_in"),
            scope=auth.names("scope"),
            status=EnumAppStatus(auth.text("status")),
            user_id=auth.number("user_id"),
            client_id=auth.text("client_id"),
        )


class Clients(Protocol):
    """The clients of a verified request; `B24App` makes them."""

    @property
    def b24(self) -> B24OAuth:
        """The client of the application's default pair."""
        ...

    def as_user(self, auth: EventAuth) -> B24OAuth:
        """The client of the user whose token a request carries."""
        ...


@attrs.frozen(kw_only=True)
class PortalRequest:
    """What a portal's server sends: an event, a robot, a message to be sent, or a saved form.

    Attributes:
        auth: Who speaks.
        sent_at: When the portal queued it, Unix timestamp in seconds; 0 if unknown.
        raw: All fields, secrets included.
    """

    auth: EventAuth
    sent_at: int = 0
    raw: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False, eq=False)
    _clients: Clients | None = attrs.field(default=None, alias="clients", repr=False, eq=False)

    @property
    def b24(self) -> B24OAuth:
        """The client of the application's default pair on this portal.

        Raises:
            ClientStateError: No `B24App` has verified the request.
        """
        return self._verified().b24

    @property
    def as_user(self) -> B24OAuth:
        """A client of the user who caused the event, with the event's own token; nothing of it is stored.

        Bitrix24 stops sending the events that calls with such a token cause.

        Raises:
            InvalidDataError: The request carries no token: no user has caused it, or it was handed on by `dispatch`.
            ClientStateError: No `B24App` has verified the request.
        """
        return self._verified().as_user(self.auth)

    def _verified(self) -> Clients:
        if self._clients is None:
            text = "The request was read, but not verified: only those that B24App gives to handlers have clients"
            raise ClientStateError(text, code="B24OAUTH_NOT_VERIFIED")
        return self._clients


@attrs.frozen(kw_only=True)
class Event(PortalRequest):
    """An event: something happened on a portal.

    Attributes:
        name: Name in upper case, for example ``ONCRMDEALADD``.
        data: What happened, as Bitrix24 sends it: a mapping as a rule, a list or a text for a few events.
        handler_id: Number of the event's handler on the portal; empty on older portals.

    Source: https://apidocs.bitrix24.com/api-reference/events/index.html
    """

    name: str
    data: Any = attrs.field(default=None, repr=shown_masked)
    handler_id: str = ""

    @property
    def object_id(self) -> str:
        """ID of the object that the event is about; empty if it names none."""
        return object_id(self.data)

    def pair(self) -> B24OAuthParams:
        """The token pair that the event carries.

        Raises:
            InvalidDataError: It carries none: only events about the application itself carry both tokens.
        """
        return B24OAuthParams.from_event(self.raw)


@attrs.frozen(kw_only=True)
class Installed(Event):
    """`ONAPPINSTALL`: the application was installed, or updated.

    Attributes:
        version: Version of the application.
        language: The portal's language.
    """

    version: str = ""
    language: str = ""


@attrs.frozen(kw_only=True)
class UserReady(Event):
    """`ONAPPUSERREADY`: the application has a system user. `pair()` is this user's; `auth` is the installer's.

    Attributes:
        user_id: The system user.
    """

    user_id: int = 0


@attrs.frozen(kw_only=True)
class AppUpdated(Event):
    """`ONAPPUPDATE`: another version of the application is installed. Bitrix24 may never send it.

    Attributes:
        version: The new version.
        previous_version: The version before.
    """

    version: str = ""
    previous_version: str = ""


@attrs.frozen(kw_only=True)
class Uninstalled(Event):
    """`ONAPPUNINSTALL`: the application was removed. Its tokens are dead already.

    Attributes:
        cleans: True if the user asked to delete the application's data.
    """

    cleans: bool = False


@attrs.frozen(kw_only=True)
class Paid(Event):
    """`ONAPPPAYMENT`: the application was paid for. Without an application token it is a hint only.

    Attributes:
        code: The application's code.
        version: Its version.
        status: How it is paid for.
        is_expired: True if the paid time is over.
        days: Days that are left, negative afterwards; None if they are not limited.
    """

    code: str = ""
    version: str = ""
    status: EnumAppStatus = EnumAppStatus.FREE
    is_expired: bool = False
    days: int | None = None


@attrs.frozen(kw_only=True)
class SubscriptionRenewed(Event):
    """`ONSUBSCRIPTIONRENEW`: the portal's subscription goes on."""


@attrs.frozen(kw_only=True)
class AppTested(Event):
    """`ONAPPTEST`: somebody called `event.test`.

    Attributes:
        query: Its parameters.
    """

    query: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=shown_masked)


@attrs.frozen(kw_only=True)
class MethodConfirmed(Event):
    """`ONAPPMETHODCONFIRM`: the user has allowed or refused a method.

    Attributes:
        method: The method.
        is_allowed: True if it may be called.
        token: The access token that asked.
    """

    method: str = ""
    is_allowed: bool = False
    token: str = attrs.field(default="", repr=hidden)


@attrs.frozen(kw_only=True)
class OfflineSignal(Event):
    """`ONOFFLINEEVENT`: there are offline events to be fetched."""


@attrs.frozen(kw_only=True)
class SettingsOpened(Event):
    """`OnAppSettingsInstall`, `…Display` or `…Change`: the portal asks for the application's configuration form."""


@attrs.frozen(kw_only=True)
class BotEvent(Event):
    """`ONIMBOTV2…`: something for a bot.

    Attributes:
        bot_id: ID of the bot.
        bot_code: Its code.
        bot_auth: The bot's own tokens, for answers; None if the event has none. They prove nothing.
    """

    bot_id: str = ""
    bot_code: str = ""
    bot_auth: EventAuth | None = None


def object_id(data: object) -> str:
    """ID of the object that the data of an event are about; empty if they name none."""
    data = as_mapping(data)
    for part in (data.get("FIELDS"), data.get("FIELDS_AFTER"), data.get("FIELDS_BEFORE"), data):
        fields = as_mapping(part)
        for key in ("ID", "id"):
            if isinstance(fields.get(key), str | int):
                return str(fields[key])
    return ""


def read_event(form: Mapping[str, Any]) -> Event:
    """The event in the fields of a request.

    Args:
        form: The fields, nested or flat (``auth[member_id]``).

    Returns:
        An object of the event's class; `Event` itself for events about objects of the portal.

    Raises:
        InvalidDataError: A field is missing or of a wrong type; its value is not shown.
    """
    form = nested(form)
    fields = Fields(form)
    name = fields.needed("event").upper()
    common: dict[str, Any] = {
        "name": name,
        "auth": EventAuth.read(fields.fields("auth")),
        "data": form.get("data"),
        "sent_at": fields.number("ts"),
        "handler_id": fields.text("event_handler_id"),
        "raw": form,
    }
    if name.startswith("ONIMBOTV2"):
        return _bot_event(fields.fields("data").fields("bot"), common)
    if name.startswith("ONAPPSETTINGS"):
        return SettingsOpened(**common)
    read = _ABOUT_THE_APPLICATION.get(name)
    return Event(**common) if read is None else read(fields, common)


def _installed(fields: Fields, common: dict[str, Any]) -> Event:
    data = fields.fields("data")
    return Installed(**common, version=data.text("VERSION"), language=data.text("LANGUAGE_ID"))


def _updated(fields: Fields, common: dict[str, Any]) -> Event:
    data = fields.fields("data")
    return AppUpdated(**common, version=data.text("VERSION"), previous_version=data.text("PREVIOUS_VERSION"))


def _paid(fields: Fields, common: dict[str, Any]) -> Event:
    data = fields.fields("data")
    return Paid(
        **common,
        code=data.text("CODE"),
        version=data.text("VERSION"),
        status=EnumAppStatus(data.text("STATUS")),
        is_expired=data.flag("PAYMENT_EXPIRED"),
        days=data.number("DAYS") if data.text("DAYS") else None,
    )


def _confirmed(fields: Fields, common: dict[str, Any]) -> Event:
    data = fields.fields("data")
    return MethodConfirmed(
        **common, method=data.text("METHOD"), is_allowed=data.flag("CONFIRMED"), token=data.text("TOKEN")
    )


def _bot_event(bot: Fields, common: dict[str, Any]) -> Event:
    auth = EventAuth.read(bot.fields("auth")) if bot.values.get("auth") else None
    return BotEvent(**common, bot_id=bot.text("id"), bot_code=bot.text("code"), bot_auth=auth)


_ABOUT_THE_APPLICATION: Final[Mapping[str, Callable[[Fields, dict[str, Any]], Event]]] = {
    "ONAPPINSTALL": _installed,
    "ONAPPUSERREADY": lambda fields, common: UserReady(**common, user_id=fields.fields("data").number("user_id")),
    "ONAPPUPDATE": _updated,
    "ONAPPUNINSTALL": lambda fields, common: Uninstalled(**common, cleans=fields.fields("data").flag("CLEAN")),
    "ONAPPPAYMENT": _paid,
    "ONSUBSCRIPTIONRENEW": lambda _, common: SubscriptionRenewed(**common),
    "ONAPPTEST": lambda fields, common: AppTested(**common, query=fields.fields("data").mapping("QUERY")),
    "ONAPPMETHODCONFIRM": _confirmed,
    "ONOFFLINEEVENT": lambda _, common: OfflineSignal(**common),
}
