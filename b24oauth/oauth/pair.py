"""One token pair as it is held: when it expires, and what of it is not saved yet."""

from __future__ import annotations

import attrs

from b24oauth.models import AuthData, B24OAuthParams
from b24oauth.protocol.endpoints import plain_domain

__all__ = ["HeldPair", "UnsavedPair", "auth_data_of"]


@attrs.frozen
class HeldPair:
    """A token pair and the clock its lifetime is counted on.

    Attributes:
        params: The pair.
        fresh_until: Loop time at which a pair that we received expires, seconds; None for a pair that was given
            to us: only its own `expires` tells, by the wall clock.
    """

    params: B24OAuthParams
    fresh_until: float | None = None

    def is_fresh(self, *, wall_clock: float, loop_time: float | None) -> bool:
        """True while the access token may be used.

        Args:
            wall_clock: Unix timestamp, seconds.
            loop_time: Clock of the client's event loop, seconds; None before it has one.
        """
        if self.fresh_until is not None and loop_time is not None:
            return loop_time < self.fresh_until
        return wall_clock < self.params.expires


@attrs.define
class UnsavedPair:
    """A renewed pair on its way to the store and the callback, each of which is to see it exactly once."""

    held: HeldPair
    stored: bool = False
    told: bool = False


def auth_data_of(params: B24OAuthParams) -> AuthData:
    """The part of a pair that requests need."""
    return AuthData(
        access_token=params.access_token,
        refresh_token=params.refresh_token,
        expires=params.expires,
        expires_in=params.expires_in,
        domain=plain_domain(params.domain),
        member_id=params.member_id,
    )
