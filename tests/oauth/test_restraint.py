"""When the OAuth server is left alone: refusals that repeat, and portals that refuse every new token."""

from __future__ import annotations

import pytest

from b24oauth.oauth.exchange import Refusal
from b24oauth.oauth.restraint import Allowance, RefusedTokens

AGAIN = Refusal(code="expired_token", message="refused", answered=True)
FINAL = Refusal(code="invalid_grant", message="refused", final=True, answered=True)


def test_t6_a_token_refused_once_is_asked_for_once_more() -> None:
    tokens = RefusedTokens()
    assert tokens.standing("r", now=0) is None
    tokens.add("r", AGAIN, now=0)
    assert tokens.standing("r", now=0) is None


def test_t6_pauses_double_while_the_same_token_is_refused() -> None:
    tokens, now = RefusedTokens(), 0.0
    tokens.add("r", AGAIN, now=now)
    pauses: list[float] = []
    for _ in range(9):
        tokens.add("r", AGAIN, now=now)
        begin = now
        while tokens.standing("r", now=now):
            now += 1
        pauses.append(now - begin)
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_t6_another_token_is_not_concerned() -> None:
    tokens = RefusedTokens()
    for token in ("r", "r", "s"):
        tokens.add(token, AGAIN, now=0)
    assert tokens.standing("r", now=0) is AGAIN
    assert tokens.standing("s", now=0) is None


def test_t6_a_final_refusal_stands_until_there_is_a_new_pair() -> None:
    tokens = RefusedTokens()
    tokens.add("r", FINAL, now=0)
    assert tokens.is_final("r")
    assert tokens.standing("r", now=1e9) is FINAL
    tokens.clear()
    assert not tokens.is_final("r")
    assert tokens.standing("r", now=0) is None


def renewals(seconds: int, *, accepted: bool, every: float = 0.1) -> int:
    """How many renewals calls cause that are refused one after the other."""
    allowance, count, received = Allowance(), 0, 0.0
    for turn in range(int(seconds / every)):
        now = turn * every
        if allowance.take(age=now - received, accepted=accepted, now=now):
            count, received = count + 1, now
    return count


@pytest.mark.parametrize(("seconds", "most"), [(5, 2), (240, 4), (3600, 32)])
def test_t5_a_portal_that_refuses_every_token_costs_a_handful(seconds: int, most: int) -> None:
    assert renewals(seconds, accepted=False) <= most


def test_t5_a_portal_that_accepts_a_token_now_and_then_costs_more() -> None:
    assert renewals(5, accepted=True) == 20
    assert renewals(3600, accepted=True) <= 20 + 3600 / 15


@pytest.mark.parametrize(("age", "accepted"), [(None, False), (None, True), (60, True), (3600, True)])
def test_t5_an_old_token_that_was_accepted_costs_nothing(age: float | None, accepted: bool) -> None:
    allowance = Allowance()
    assert all(allowance.take(age=age, accepted=accepted, now=0) for _ in range(100))
    assert allowance.take(age=0, accepted=False, now=0)
