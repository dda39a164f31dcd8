"""Which token pair is used next: ours, the store's, a new one, or an older one as the last resort. Pure decisions.

Between our pair and another one in the store, no clock decides. The other one is newer than a pair that we had from
there or put there, and older than one from `set_params`. A pair passed to the constructor may be new or outdated, so
the stored pair is tried first; this costs no request. If one pair is permanently rejected, the other is used.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from b24oauth.models import B24OAuthParams
from b24oauth.storing import TokenKey

__all__ = ["Stored", "Use", "after_refusal", "decide", "is_of_user", "judge_stored"]


class Use(Enum):
    """What becomes of the pair in use.

    Attributes:
        HELD: It stays in use.
        UNSAVED: The renewed pair that is not saved yet is saved and used.
        STORED: The pair from the store is used.
        RENEWED: A new pair is requested.
        FALLBACK: Refresh with the pair that was passed to the constructor.
        NOTHING: No pair is left: the refusal is final.
    """

    HELD = auto()
    UNSAVED = auto()
    STORED = auto()
    RENEWED = auto()
    FALLBACK = auto()
    NOTHING = auto()


class Stored(Enum):
    """Result of reading the store.

    Attributes:
        NOTHING: No pair.
        OURS: The pair in use.
        OTHER: Another pair of our portal.
        REFUSED: A pair of our portal that was refused for good.
        FOREIGN: A pair of another portal, or not of our user, which is never used.
    """

    NOTHING = auto()
    OURS = auto()
    OTHER = auto()
    REFUSED = auto()
    FOREIGN = auto()


def judge_stored(
    stored: B24OAuthParams | None, held: B24OAuthParams, key: TokenKey, is_refused: Callable[[str], bool]
) -> Stored:
    """Classifies a pair loaded from the store.

    Args:
        stored: The pair; None when there is none.
        held: The pair in use.
        key: Whose pair was loaded.
        is_refused: Function that tells whether a refresh token was permanently rejected.
    """
    if stored is None:
        return Stored.NOTHING
    if stored.member_id not in ("", key.member_id) or not is_of_user(stored.user_id, key):
        return Stored.FOREIGN
    if stored.refresh_token == held.refresh_token:
        return Stored.OURS
    return Stored.REFUSED if is_refused(stored.refresh_token) else Stored.OTHER


def is_of_user(user_id: int, key: TokenKey) -> bool:
    """True for a pair that may be kept under a key: any user's is the portal's working pair.

    Args:
        user_id: The user of the pair; 0 when nothing names him.
        key: The store key.
    """
    return key.user_id is None or user_id in (0, key.user_id)


def decide(*, stored: bool, unsaved: bool, may_replace: bool, prefer_held: bool, renews: bool) -> Use:
    """What becomes of a pair that is to be replaced.

    Args:
        stored: The store has another usable pair.
        unsaved: A renewed pair is not saved yet.
        may_replace: The unsaved pair was obtained by refreshing the stored pair, or equals it.
        prefer_held: The application has set the pair in use after the store was read last.
        renews: A new pair may be requested.
    """
    if unsaved:
        # No other process knows our unsaved pair, so none can have refreshed it: a different stored pair comes from a
        # later authorization.
        return Use.STORED if stored and not may_replace else Use.UNSAVED
    if stored and not prefer_held:
        return Use.STORED
    return Use.RENEWED if renews else Use.HELD


def after_refusal(*, stored: bool, fallback: bool) -> Use:
    """What is used instead of a pair whose refresh token was refused for good.

    Args:
        stored: The store has another usable pair by now.
        fallback: The pair passed to the constructor was not used because the stored pair took precedence.
    """
    if stored:
        return Use.STORED
    return Use.FALLBACK if fallback else Use.NOTHING
