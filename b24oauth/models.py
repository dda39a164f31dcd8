"""Data classes exchanged with the application: token data, application secret, application status."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final, NoReturn, Self, TypedDict, cast

import attrs

from b24oauth.converting import WHOLE_NUMBER, structure, unstructure
from b24oauth.errors import InvalidDataError
from b24oauth.shapes import is_mapping, is_sendable

__all__ = [
    "ApiVersion",
    "AuthData",
    "B24OAuthParams",
    "B24OAuthSecret",
    "EnumAppStatus",
    "HandlerRefreshAuth",
    "Installation",
    "InstallationState",
    "RefreshedAuth",
]


_TOO_LARGE: Final = 10**18


class ApiVersion(enum.StrEnum):
    """The version of the REST API that a call speaks."""

    V2 = "v2"
    V3 = "v3"


class EnumAppStatus(enum.StrEnum):
    """How the application is paid for on the portal.

    Source: https://apidocs.bitrix24.com/api-reference/app-installation/local-apps/index.html
    """

    FREE = "F"
    DEMO = "D"
    TRIAL = "T"
    PAID = "P"
    LOCAL = "L"
    SUBSCRIPTION = "S"

    @classmethod
    def _missing_(cls, value: object) -> EnumAppStatus:  # noqa: ARG003 - the name is enum's
        # An unknown status must not break a token refresh; like the JS SDK, treat it as free.
        return cls.FREE


class HandlerRefreshAuth(TypedDict, total=False):
    """Response of a token refresh, from the OAuth server or a custom refresh function.

    `access_token` and `refresh_token` are needed; an absent `status` counts as free, what else is absent stays.
    """

    access_token: str
    refresh_token: str
    expires: int | str
    expires_in: int | str
    client_endpoint: str
    server_endpoint: str
    member_id: str
    scope: str
    status: str
    domain: str
    user_id: int | str


def _hidden(_: object) -> str:
    return "'***'"


def _whole(value: int | str) -> int:
    """A number that may have come as a string; anything else stays for the validator to name."""
    if isinstance(value, str) and WHOLE_NUMBER.fullmatch(value):
        return int(value)
    return value  # type: ignore[return-value]  # the validator refuses it


def _status(value: str | None) -> EnumAppStatus:
    return EnumAppStatus(value or "")


def _is_text(self_: object, field: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str):
        raise InvalidDataError(type(self_).__name__, [f"{field.name} must be str, not {type(value).__name__}"])


def _is_filled(self_: object, field: attrs.Attribute[str], value: object) -> None:
    _is_text(self_, field, value)
    if not value:
        raise InvalidDataError(type(self_).__name__, [f"{field.name} must not be empty"])


def _can_be_sent(self_: object, field: attrs.Attribute[str], value: object) -> None:
    _is_text(self_, field, value)
    if not is_sendable(value):
        raise InvalidDataError(type(self_).__name__, [f"{field.name} must be Unicode text without lone surrogates"])


def _is_token(self_: object, field: attrs.Attribute[str], value: object) -> None:
    _is_filled(self_, field, value)
    _can_be_sent(self_, field, value)


def _are_tokens(self_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, tuple):
        raise InvalidDataError(type(self_).__name__, [f"{field.name} must be tuple, not {type(value).__name__}"])
    for token in cast("tuple[object, ...]", value):
        _is_token(self_, field, token)


def _is_whole(self_: object, field: attrs.Attribute[int], value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        problem = f"{field.name} must be a whole number, not {type(value).__name__}"
        raise InvalidDataError(type(self_).__name__, [problem])
    # Same limit as for strings; ints with thousands of digits cannot be converted to str.
    if abs(value) >= _TOO_LARGE:
        raise InvalidDataError(type(self_).__name__, [f"{field.name} must have at most 18 digits"])


def _not_pickled(value: object) -> TypeError:
    name = type(value).__name__
    return TypeError(f"{name} holds secrets and is not pickled: pass {name}.to_dict() to where you need it")


@attrs.frozen(kw_only=True)
class B24OAuthParams:
    """A token pair and the data that Bitrix24 sends with it.

    Attributes:
        access_token: Current access token.
        refresh_token: Token that renews the pair, good for one renewal.
        expires: When the access token expires, Unix timestamp in seconds.
        client_endpoint: REST root of the portal, for example ``https://xxx.bitrix24.com/rest/``.
        server_endpoint: REST root of the OAuth server.
        domain: Domain of the portal.
        member_id: The portal's identifier; never changes.
        application_token: Proof that an event comes from the portal.
        user_id: The user that the pair belongs to.
        expires_in: Lifetime of the access token, seconds.
        scope: What the application may do, separated by commas.
        status: How the application is paid for.

    Source: https://apidocs.bitrix24.com/settings/oauth/index.html
    """

    access_token: str = attrs.field(validator=_is_token, repr=_hidden)
    refresh_token: str = attrs.field(validator=_is_token, repr=_hidden)
    expires: int = attrs.field(converter=_whole, validator=_is_whole)
    client_endpoint: str = attrs.field(validator=_is_filled)
    server_endpoint: str = attrs.field(default="https://oauth.bitrix.info/rest/", validator=_is_filled)
    domain: str = attrs.field(default="", validator=_is_text)
    member_id: str = attrs.field(default="", validator=_is_text)
    application_token: str = attrs.field(default="", validator=_can_be_sent, repr=_hidden)
    user_id: int = attrs.field(default=0, converter=_whole, validator=_is_whole)
    expires_in: int = attrs.field(default=3600, converter=_whole, validator=_is_whole)
    scope: str = attrs.field(default="", validator=_is_text)
    status: EnumAppStatus = attrs.field(default=EnumAppStatus.FREE, converter=_status)

    def __reduce__(self) -> NoReturn:
        raise _not_pickled(self)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Self:
        """Reads what `to_dict` wrote, or the `auth` part of an install event.

        Args:
            data: Fields by name; numbers may be strings, unknown fields are ignored. With `expires_in` alone, as in
                some install events, nothing tells since when: the pair counts as expired, the first call renews it.

        Raises:
            InvalidDataError: Naming each field that is missing or of a wrong type.
        """
        given = _given(data)
        if "expires_in" in given:
            given.setdefault("expires", 0)
        return structure(given, cls, cls.__name__)

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values, secrets included: for your store, not for a log."""
        return dict(unstructure(self))


@attrs.frozen(kw_only=True)
class B24OAuthSecret:
    """What identifies your application to the OAuth server.

    Attributes:
        client_id: The application's `client_id`.
        client_secret: The application's `client_secret`; only ever sent to the OAuth server.
    """

    client_id: str = attrs.field(validator=_is_token)
    client_secret: str = attrs.field(validator=_is_token, repr=_hidden)

    def __reduce__(self) -> NoReturn:
        raise _not_pickled(self)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Self:
        """Reads `client_id` and `client_secret`.

        Raises:
            InvalidDataError: Naming each field that is missing or of a wrong type.
        """
        return structure(_given(data), cls, cls.__name__)

    def to_dict(self) -> dict[str, Any]:
        """Both fields as plain values, the secret included."""
        return dict(unstructure(self))


@attrs.frozen(kw_only=True)
class AuthData:
    """The part of a token pair that requests need.

    Attributes:
        access_token: Current access token.
        refresh_token: Token that renews the pair.
        expires: When the access token expires, Unix timestamp in seconds.
        expires_in: Lifetime of the access token, seconds.
        domain: Domain of the portal, without a scheme.
        member_id: The portal's identifier.
    """

    access_token: str = attrs.field(repr=_hidden)
    refresh_token: str = attrs.field(repr=_hidden)
    expires: int
    expires_in: int
    domain: str
    member_id: str

    def __reduce__(self) -> NoReturn:
        raise _not_pickled(self)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values, secrets included."""
        return dict(unstructure(self))


@attrs.frozen(kw_only=True)
class RefreshedAuth:
    """What the refresh callback receives.

    Attributes:
        auth_data: The renewed pair as requests use it.
        b24_oauth_params: The renewed pair whole; persist `b24_oauth_params.to_dict()`.
    """

    auth_data: AuthData
    b24_oauth_params: B24OAuthParams


class InstallationState(enum.StrEnum):
    """Whether an application may be used on a portal."""

    PENDING = "pending"
    ACTIVE = "active"
    UNINSTALLED = "uninstalled"


@attrs.frozen(kw_only=True)
class Installation:
    """An application on a portal, whatever token pairs there are.

    Attributes:
        client_id: The application.
        member_id: The portal's identifier.
        state: Whether the application may be used. The record of an uninstalled one stays, without secrets.
        client_endpoint: REST root of the portal, for example ``https://xxx.bitrix24.com/rest/``.
        server_endpoint: REST root of the OAuth server.
        domain: Domain of the portal.
        status: How the application is paid for.
        scope: What the application may do, separated by commas.
        installer_id: The user who installed it; 0 if unknown.
        application_tokens: Proofs that an event comes from this portal; an update may bring another one.
        app_version: Version of the application on the portal; empty if unknown.
        event_time: Time of the last event that changed the state, Unix timestamp in seconds; 0 if none did.
        installed_at: When it was installed, Unix timestamp in seconds; 0 if unknown.
        updated_at: When the record was changed, Unix timestamp in seconds; 0 if unknown.

    Source: https://apidocs.bitrix24.com/api-reference/app-installation/index.html
    """

    client_id: str = attrs.field(validator=_is_filled)
    member_id: str = attrs.field(validator=_is_filled)
    state: InstallationState = attrs.field(default=InstallationState.PENDING, converter=InstallationState)
    client_endpoint: str = attrs.field(default="", validator=_is_text)
    server_endpoint: str = attrs.field(default="https://oauth.bitrix.info/rest/", validator=_is_text)
    domain: str = attrs.field(default="", validator=_is_text)
    status: EnumAppStatus = attrs.field(default=EnumAppStatus.FREE, converter=_status)
    scope: str = attrs.field(default="", validator=_is_text)
    installer_id: int = attrs.field(default=0, converter=_whole, validator=_is_whole)
    application_tokens: tuple[str, ...] = attrs.field(default=(), validator=_are_tokens, repr=_hidden)
    app_version: str = attrs.field(default="", validator=_is_text)
    event_time: int = attrs.field(default=0, converter=_whole, validator=_is_whole)
    installed_at: int = attrs.field(default=0, converter=_whole, validator=_is_whole)
    updated_at: int = attrs.field(default=0, converter=_whole, validator=_is_whole)

    def __reduce__(self) -> NoReturn:
        raise _not_pickled(self)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Self:
        """Reads what `to_dict` wrote.

        Raises:
            InvalidDataError: Naming each field that is missing or of a wrong type.
        """
        return structure(_given(data), cls, cls.__name__)

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values, secrets included: for your store, not for a log."""
        return dict(unstructure(self))


def _given(data: Mapping[str, object]) -> dict[str, object]:
    """Drops fields that are None, because some stores save missing values as null."""
    if not is_mapping(data):
        raise InvalidDataError("The payload", [f"must be a mapping of its fields, not {type(data).__name__}"])
    return {name: value for name, value in data.items() if value is not None}
