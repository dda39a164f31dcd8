"""When no new token pair is requested although a call needs one. Pure: times are given."""

from __future__ import annotations

from typing import Final

import attrs

from b24oauth.oauth.exchange import Refusal

__all__ = ["Allowance", "RefusedTokens"]

_FIRST_PAUSE: Final = 5.0
_LONGEST_PAUSE: Final = 300.0

_YOUNG: Final = 60.0
_MOST: Final = 20.0
_GAIN: Final = 1 / 15
_COST: Final = {True: 1.0, False: 8.0}


@attrs.define
class _Standing:
    refusal: Refusal
    times: int = 1
    until: float = 0.0


class RefusedTokens:
    """Refresh tokens that the OAuth server has refused.

    A permanent rejection is remembered. After any other rejection the next call tries again; if the same token is
    rejected again, attempts are spaced by pauses that double from 5 s to 5 minutes.
    """

    # `vars` must not show tokens.
    __slots__ = ("_standings",)

    def __init__(self) -> None:
        self._standings: dict[str, _Standing] = {}

    def is_final(self, token: str) -> bool:
        """True for a refresh token that will never be accepted again."""
        standing = self._standings.get(token)
        return standing is not None and standing.refusal.final

    def standing(self, token: str, *, now: float) -> Refusal | None:
        """Returns the remembered rejection if no request should be made now, otherwise None.

        Args:
            token: A refresh token.
            now: Loop time, seconds.
        """
        standing = self._standings.get(token)
        if standing is None or not (standing.refusal.final or now < standing.until):
            return None
        return standing.refusal

    def add(self, token: str, refusal: Refusal, *, now: float) -> None:
        """Remembers a refusal.

        Args:
            token: The refresh token that was refused.
            refusal: Why.
            now: Loop time, seconds.
        """
        known = self._standings.get(token)
        if known is None:
            self._standings[token] = _Standing(refusal)
            return
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(known.times - 1, 10))
        known.refusal, known.times, known.until = refusal, known.times + 1, now + pause

    def clear(self) -> None:
        """Forgets everything: there is a new pair."""
        self._standings.clear()


class Allowance:
    """Limits how many refreshes a portal can cause by rejecting access tokens.

    Without a limit, a portal that rejects every token would cause one refresh per call. This is a token bucket with 20
    units that regains one unit every 15 s. A refresh costs 8 units if the portal accepted no token since the previous
    refresh (so: two immediately, then one every two minutes), 1 unit if it accepted one, and nothing if the token was
    at least a minute old.
    """

    def __init__(self) -> None:
        self._left = _MOST
        self._at: float | None = None

    def take(self, *, age: float | None, accepted: bool, now: float) -> bool:
        """True when a refused access token may be renewed.

        Args:
            age: How long ago it was received, seconds; None for one that came with the client.
            accepted: True when the portal accepted a token since it refused one last.
            now: Loop time, seconds.
        """
        if age is None or (accepted and age >= _YOUNG):
            return True
        if self._at is not None:
            self._left = min(_MOST, self._left + (now - self._at) * _GAIN)
        self._at = now
        cost = _COST[accepted]
        if self._left < cost:
            return False
        self._left -= cost
        return True
