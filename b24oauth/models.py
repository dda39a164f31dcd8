"""Data classes exchanged with the application: token data, application secret, application status."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, NoReturn, Self, TypedDict

import attrs

from b24oauth.claims import pair_in_event, pair_in_page, pair_in_response
from b24oauth.converting import structure, unstructure
from b24oauth.errors import InvalidDataError
from b24oauth.shapes import is_mapping
from b24oauth.validating import as_whole, hidden, is_filled, is_sendable_text, is_text, is_token, is_whole, not_pickled

__all__ = [
    "ApiVersion",
    "AuthData",
    "B24OAuthParams",
    "B24OAuthSecret",
    "EnumAppStatus",
    "HandlerRefreshAuth",
    "RefreshedAuth",
]


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

    `access_token` and `refresh_token` are needed; if `status` is missing, it is treated as free; other missing fields
    keep their previous values.
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


def as_status(value: str | None) -> EnumAppStatus:
    """The status of a text; free if the text is empty."""
    return EnumAppStatus(value or "")


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
        status: How the portal pays for the application.

    Source: https://apidocs.bitrix24.com/settings/oauth/index.html
    """

    access_token: str = attrs.field(validator=is_token, repr=hidden)
    refresh_token: str = attrs.field(validator=is_token, repr=hidden)
    expires: int = attrs.field(converter=as_whole, validator=is_whole)
    client_endpoint: str = attrs.field(validator=is_filled)
    server_endpoint: str = attrs.field(default="https://oauth.bitrix.info/rest/", validator=is_filled)
    domain: str = attrs.field(default="", validator=is_text)
    member_id: str = attrs.field(default="", validator=is_text)
    application_token: str = attrs.field(default="", validator=is_sendable_text, repr=hidden)
    user_id: int = attrs.field(default=0, converter=as_whole, validator=is_whole)
    expires_in: int = attrs.field(default=3600, converter=as_whole, validator=is_whole)
    scope: str = attrs.field(default="", validator=is_text)
    status: EnumAppStatus = attrs.field(default=EnumAppStatus.FREE, converter=as_status)

    def __reduce__(self) -> NoReturn:
        raise not_pickled(self)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Self:
        """Reads what `to_dict` wrote, or the `auth` part of an install event.

        Args:
            data: Fields by name; numbers may be strings, unknown fields are ignored. If only `expires_in` is given, as
                in some install events, the issue time is unknown; the pair is treated as expired and refreshed by the
                first call.

        Raises:
            InvalidDataError: Naming each field that is missing or of a wrong type.
        """
        fields = given(data)
        if "expires_in" in fields:
            fields.setdefault("expires", 0)
        return structure(fields, cls, cls.__name__)

    @classmethod
    def from_event(cls, form: Mapping[str, object]) -> Self:
        """The pair in an event about the application, such as `ONAPPINSTALL`. It is a claim until it is verified.

        Args:
            form: The fields of the event, nested or flat (``auth[access_token]``).

        Raises:
            InvalidDataError: It carries no tokens, as most events do; or a field is of a wrong type.
        """
        return cls.from_dict(pair_in_event(form))

    @classmethod
    def from_placement(cls, form: Mapping[str, object], query: Mapping[str, object], *, received_at: float) -> Self:
        """The pair of the user who opened a page of the application. It is a claim until it is verified.

        Args:
            form: The fields of the body.
            query: The fields of the query string.
            received_at: When the request arrived, Unix timestamp in seconds.

        Raises:
            InvalidDataError: Naming each field that is missing or of a wrong type.
        """
        return cls.from_dict(pair_in_page(form, query, received_at))

    @classmethod
    def from_token_response(cls, response: Mapping[str, object], *, received_at: float) -> Self:
        """The pair in a response of the OAuth server to an authorization code.

        Args:
            response: The fields of the response.
            received_at: When it arrived, Unix timestamp in seconds.

        Raises:
            InvalidDataError: Naming each field that is missing or of a wrong type.
        """
        return cls.from_dict(pair_in_response(response, received_at))

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

    client_id: str = attrs.field(validator=is_token)
    client_secret: str = attrs.field(validator=is_token, repr=hidden)

    def __reduce__(self) -> NoReturn:
        raise not_pickled(self)

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
        return structure(given(data), cls, cls.__name__)

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

    access_token: str = attrs.field(repr=hidden)
    refresh_token: str = attrs.field(repr=hidden)
    expires: int
    expires_in: int
    domain: str
    member_id: str

    def __reduce__(self) -> NoReturn:
        raise not_pickled(self)

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


def given(data: Mapping[str, object]) -> dict[str, object]:
    """Drops fields that are None, because some stores save missing values as null."""
    if not is_mapping(data):
        raise InvalidDataError("The payload", [f"must be a mapping of its fields, not {type(data).__name__}"])
    return {name: value for name, value in data.items() if value is not None}
