"""The clients of a verified request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn

import attrs

from b24oauth.apps.events import EventAuth
from b24oauth.client import B24OAuth
from b24oauth.errors import InvalidDataError, RefreshTokenError
from b24oauth.portals import B24Portals

__all__ = ["RequestClients"]

_LIFETIME: Final = 3600
# An event without a refresh token has a pair that is never renewed; this text is sent nowhere.
_NO_REFRESH_TOKEN: Final = "none"  # noqa: S105 - no secret


@attrs.define(eq=False)
class RequestClients:
    """The clients of a verified request.

    Attributes:
        b24: The client of the application's default pair.
    """

    b24: B24OAuth
    _portals: B24Portals
    _clock: Callable[[], float]
    _user: B24OAuth | None = None

    def as_user(self, auth: EventAuth) -> B24OAuth:
        """The client of the user whose token the request carries.

        Args:
            auth: Of the request.

        Raises:
            InvalidDataError: It carries none.
        """
        if self._user is not None:
            return self._user
        if not auth.access_token:
            problem = "auth[access_token] is missing: no user has caused the event, or it was handed on by `dispatch`"
            raise InvalidDataError("The event", [problem])
        expires = auth.expires or int(self._clock()) + (auth.expires_in or _LIFETIME)
        # The portal's address is the proved one, not the one in the request.
        pair = attrs.evolve(
            self.b24.auth.get_params(),
            access_token=auth.access_token,
            refresh_token=auth.refresh_token or _NO_REFRESH_TOKEN,
            expires=expires,
            user_id=auth.user_id,
            application_token="",
        )
        self._user = self._portals.client(pair)
        if not auth.refresh_token:
            self._user.set_custom_refresh_auth(_not_renewed)
        return self._user


async def _not_renewed() -> NoReturn:
    raise RefreshTokenError(
        "The token of this event is over, and it came without a refresh token: use `event.b24`",
        code="B24OAUTH_EVENT_TOKEN_EXPIRED",
    )
