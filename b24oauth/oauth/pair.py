"""A token pair in memory: its expiry and its save state."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, Self

import attrs

from b24oauth.errors import ConfigurationError, UntrustedHostError
from b24oauth.models import AuthData, B24OAuthParams
from b24oauth.protocol.endpoints import host_of, oauth_token_url, plain_domain, rest_root

__all__ = ["HeldPair", "UnsavedPair", "auth_data_of", "check_pair", "is_timestamp", "with_trusted_endpoints"]

_LATEST: Final = 10**11
_ENDPOINT_CHECKS: Final = (("server_endpoint", oauth_token_url), ("client_endpoint", rest_root))


@attrs.frozen
class HeldPair:
    """A token pair with its expiry information.

    Attributes:
        params: The pair.
        fresh_until: Event-loop time in seconds at which a received or loaded pair expires. None for a pair supplied by
            the application; its `expires` is compared with the system clock.
        since: Event-loop time at which the pair was obtained; None for the pair passed to the constructor.
        was_found: True for a pair that somebody else has put into the store.
    """

    params: B24OAuthParams
    fresh_until: float | None = None
    since: float | None = None
    was_found: bool = False

    @classmethod
    def found(cls, params: B24OAuthParams, *, wall_clock: float, loop_time: float) -> Self:
        """A pair that somebody else has stored.

        A pair that looks expired by the system clock is still used, because the clock may be wrong and another process
        may just have refreshed it. The portal rejects it if it is really expired.

        Args:
            params: The pair.
            wall_clock: Unix timestamp, seconds.
            loop_time: Clock of the client's event loop, seconds.
        """
        left = params.expires - wall_clock
        lifetime = min(left, params.expires_in) if left > 0 else params.expires_in
        return cls(params, fresh_until=loop_time + lifetime, since=loop_time, was_found=True)

    @property
    def was_given(self) -> bool:
        """True for a pair that the application gave."""
        return self.fresh_until is None

    def is_fresh(self, *, wall_clock: Callable[[], float], loop_time: Callable[[], float | None]) -> bool:
        """True while the access token is valid. Reads only one clock, because this runs for every call.

        Args:
            wall_clock: Gives a Unix timestamp, seconds.
            loop_time: Gives the clock of the client's event loop, seconds; None before it has one.
        """
        if self.fresh_until is not None:
            now = loop_time()
            if now is not None:
                return now < self.fresh_until
        return wall_clock() < self.params.expires


@attrs.define
class UnsavedPair:
    """A new pair that must still be passed, exactly once each, to the store and the callback.

    Attributes:
        held: The pair.
        replaces: Refresh token of the pair that was in the store when this one was renewed.
        store_done: True once the store has it.
        callback_done: True once the callback has seen it.
        conflicts: Number of revision conflicts while saving.
        asked_at: When the renewal began, seconds of the loop's clock.
    """

    held: HeldPair
    asked_at: float
    replaces: str | None = attrs.field(default=None, repr=False)
    store_done: bool = False
    callback_done: bool = False
    conflicts: int = 0

    def may_replace(self, stored: B24OAuthParams) -> bool:
        """False if `stored` was written by another process after this pair was refreshed."""
        return stored.refresh_token in (self.replaces, self.held.params.refresh_token)


def is_timestamp(seconds: int) -> bool:
    """False for values that are not Unix timestamps in seconds: one in milliseconds, or a negative number."""
    return 0 <= seconds < _LATEST


def check_pair(params: B24OAuthParams, trusted_hosts: Collection[str]) -> None:
    """Validates a pair supplied by the application. Pairs from the OAuth server are corrected instead.

    Args:
        params: The pair.
        trusted_hosts: Hosts that may see the client secret.

    Raises:
        ConfigurationError: Names the field, and says what it must be.
        UntrustedHostError: An endpoint must not see a secret.
    """
    for name in ("access_token", "refresh_token"):
        if not getattr(params, name).strip():
            raise ConfigurationError(f"{name} must not be blank")
    if not is_timestamp(params.expires):
        milliseconds = "; it looks like milliseconds" if params.expires > 0 else ""
        raise ConfigurationError(f"expires must be a Unix timestamp in seconds{milliseconds}")
    oauth_token_url(params.server_endpoint, trusted_hosts)
    rest_root(params.client_endpoint, trusted_hosts)


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


def with_trusted_endpoints(
    received: B24OAuthParams, before: B24OAuthParams, trusted_hosts: frozenset[str]
) -> tuple[B24OAuthParams, list[tuple[str, str]]]:
    """The pair, with the endpoints of the one before in place of those that are not trusted.

    Args:
        received: The pair.
        before: The pair before it.
        trusted_hosts: OAuth servers, and loopback hosts that may be spoken to over http.

    Returns:
        The pair, and the name and host of each endpoint that was replaced.
    """
    untrusted: list[tuple[str, str]] = []
    for name, check in _ENDPOINT_CHECKS:
        try:
            check(getattr(received, name), trusted_hosts)
        except ConfigurationError as error:
            host = error.host if isinstance(error, UntrustedHostError) else host_of(getattr(received, name))
            untrusted.append((name, host))
            received = attrs.evolve(received, **{name: getattr(before, name)})
    return received, untrusted
