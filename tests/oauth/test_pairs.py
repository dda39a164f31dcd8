from __future__ import annotations

import itertools

import attrs
import pytest

from b24oauth.oauth.pairs import Stored, Use, after_refusal, decide, judge_stored
from b24oauth.stores import TokenKey
from tests.support.builders import params

HELD = params()
KEY = TokenKey("app.1", HELD.member_id)
OTHER = attrs.evolve(HELD, refresh_token="another refresh token")


@pytest.mark.parametrize(
    ("stored", "refused", "expected"),
    [
        (None, set[str](), Stored.NOTHING),
        (HELD, set[str](), Stored.OURS),
        (HELD, {HELD.refresh_token}, Stored.OURS),
        (OTHER, set[str](), Stored.OTHER),
        (attrs.evolve(OTHER, member_id=""), set[str](), Stored.OTHER),
        (OTHER, {OTHER.refresh_token}, Stored.REFUSED),
        (attrs.evolve(OTHER, member_id="another portal"), set[str](), Stored.FOREIGN),
        (attrs.evolve(OTHER, member_id="another portal"), {OTHER.refresh_token}, Stored.FOREIGN),
        (attrs.evolve(HELD, member_id="another portal"), set[str](), Stored.FOREIGN),
    ],
)
def test_t13_a_stored_pair_is_judged_by_its_portal_first(stored: object, refused: set[str], expected: Stored) -> None:
    assert judge_stored(stored, HELD, KEY, refused.__contains__) is expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("user_id", "stored_user", "expected"),
    [
        (None, 8, Stored.OTHER),
        (7, 7, Stored.OTHER),
        (7, 0, Stored.OTHER),
        (7, 8, Stored.FOREIGN),
    ],
)
def test_t13_the_stored_pair_of_another_user_is_not_used_for_a_user(
    user_id: int | None, stored_user: int, expected: Stored
) -> None:
    stored = attrs.evolve(OTHER, user_id=stored_user)
    assert judge_stored(stored, HELD, attrs.evolve(KEY, user_id=user_id), lambda _: False) is expected


# stored, unsaved, may_replace, prefer_held, renews: what is used.
TABLE = {
    # An unsaved pair is saved, unless somebody else has stored a later one.
    (False, True, False, False, True): Use.UNSAVED,
    (False, True, False, True, False): Use.UNSAVED,
    (True, True, True, False, True): Use.UNSAVED,
    (True, True, True, True, False): Use.UNSAVED,
    (True, True, False, False, True): Use.STORED,
    (True, True, False, True, False): Use.STORED,
    # Another process has renewed: its pair is used, and nothing is requested.
    (True, False, False, False, True): Use.STORED,
    (True, False, False, False, False): Use.STORED,
    # What the application has set is newer than the store's pair.
    (True, False, False, True, True): Use.RENEWED,
    (True, False, False, True, False): Use.HELD,
    # Nobody has another pair.
    (False, False, False, False, True): Use.RENEWED,
    (False, False, False, False, False): Use.HELD,
    (False, False, False, True, True): Use.RENEWED,
}


@pytest.mark.parametrize(("facts", "expected"), list(TABLE.items()))
def test_the_next_pair_is_as_the_table_says(facts: tuple[bool, ...], expected: Use) -> None:
    stored, unsaved, may_replace, prefer_held, renews = facts
    use = decide(stored=stored, unsaved=unsaved, may_replace=may_replace, prefer_held=prefer_held, renews=renews)
    assert use is expected


@pytest.mark.parametrize("facts", list(itertools.product([False, True], repeat=5)))
def test_t10_an_unsaved_pair_is_never_left_for_a_renewal(facts: tuple[bool, ...]) -> None:
    stored, unsaved, may_replace, prefer_held, renews = facts
    use = decide(stored=stored, unsaved=unsaved, may_replace=may_replace, prefer_held=prefer_held, renews=renews)
    assert use in ({Use.UNSAVED, Use.STORED} if unsaved else {Use.STORED, Use.RENEWED, Use.HELD})
    assert use is not Use.STORED or stored
    assert use is not Use.RENEWED or renews


@pytest.mark.parametrize(
    ("stored", "fallback", "expected"),
    [
        (False, False, Use.NOTHING),
        (False, True, Use.FALLBACK),
        (True, False, Use.STORED),
        (True, True, Use.STORED),
    ],
)
def test_a_pair_that_is_refused_for_good_yields_to_another(stored: bool, fallback: bool, expected: Use) -> None:
    assert after_refusal(stored=stored, fallback=fallback) is expected
