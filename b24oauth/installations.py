"""The record of an application on a portal."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, NoReturn, Self

import attrs

from b24oauth.converting import structure, unstructure
from b24oauth.models import EnumAppStatus, as_status, given
from b24oauth.validating import are_tokens, as_whole, hidden, is_filled, is_text, is_whole, not_pickled

__all__ = ["Installation", "InstallationState"]


class InstallationState(enum.StrEnum):
    """Whether an application may be used on a portal."""

    PENDING = "pending"
    ACTIVE = "active"
    UNINSTALLED = "uninstalled"


@attrs.frozen(kw_only=True)
class Installation:
    """An application on a portal, independent of its token pairs.

    Attributes:
        client_id: The application.
        member_id: The portal's identifier.
        state: Whether the application may be used. The record of an uninstalled one stays, without secrets.
        client_endpoint: REST root of the portal, for example ``https://xxx.bitrix24.com/rest/``.
        server_endpoint: REST root of the OAuth server.
        domain: Domain of the portal.
        status: How the portal pays for the application.
        scope: What the application may do, separated by commas.
        installer_id: The user who installed it; 0 if unknown.
        application_tokens: Proofs that an event comes from this portal; an update may bring another one.
        app_version: Version of the application on the portal; empty if unknown.
        event_time: Time of the last event that changed the state, Unix timestamp in seconds; 0 if none did.
        installed_at: When it was installed, Unix timestamp in seconds; 0 if unknown.
        updated_at: When the record was changed, Unix timestamp in seconds; 0 if unknown.

    Source: https://apidocs.bitrix24.com/api-reference/app-installation/index.html
    """

    client_id: str = attrs.field(validator=is_filled)
    member_id: str = attrs.field(validator=is_filled)
    state: InstallationState = attrs.field(default=InstallationState.PENDING, converter=InstallationState)
    client_endpoint: str = attrs.field(default="", validator=is_text)
    server_endpoint: str = attrs.field(default="https://oauth.bitrix.info/rest/", validator=is_text)
    domain: str = attrs.field(default="", validator=is_text)
    status: EnumAppStatus = attrs.field(default=EnumAppStatus.FREE, converter=as_status)
    scope: str = attrs.field(default="", validator=is_text)
    installer_id: int = attrs.field(default=0, converter=as_whole, validator=is_whole)
    application_tokens: tuple[str, ...] = attrs.field(default=(), validator=are_tokens, repr=hidden)
    app_version: str = attrs.field(default="", validator=is_text)
    event_time: int = attrs.field(default=0, converter=as_whole, validator=is_whole)
    installed_at: int = attrs.field(default=0, converter=as_whole, validator=is_whole)
    updated_at: int = attrs.field(default=0, converter=as_whole, validator=is_whole)

    def __reduce__(self) -> NoReturn:
        raise not_pickled(self)

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
        return structure(given(data), cls, cls.__name__)

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values, secrets included: for your store, not for a log."""
        return dict(unstructure(self))
