from __future__ import annotations

import pytest

from b24oauth.oauth.pair import HeldPair, UnsavedPair, auth_data_of
from tests.support.builders import PLANTED, params


@pytest.mark.parametrize(("wall_clock", "fresh"), [(999.9, True), (1000.0, False), (1000.1, False)])
@pytest.mark.parametrize("loop_time", [None, 0.0, 1e9])
def test_a_pair_that_was_given_to_us_lives_by_the_wall_clock(
    wall_clock: float, loop_time: float | None, fresh: bool
) -> None:
    held = HeldPair(params(expires=1000))
    assert held.is_fresh(wall_clock=lambda: wall_clock, loop_time=lambda: loop_time) is fresh


@pytest.mark.parametrize(("loop_time", "fresh"), [(49.9, True), (50.0, False)])
@pytest.mark.parametrize("wall_clock", [0.0, 4e9])
def test_t8_a_pair_that_we_received_lives_by_the_loops_clock(loop_time: float, wall_clock: float, fresh: bool) -> None:
    held = HeldPair(params(expires=1000), 50.0)
    assert held.is_fresh(wall_clock=lambda: wall_clock, loop_time=lambda: loop_time) is fresh


@pytest.mark.parametrize(("wall_clock", "fresh"), [(999.0, True), (1001.0, False)])
def test_before_there_is_a_loop_only_the_wall_clock_tells(wall_clock: float, fresh: bool) -> None:
    assert HeldPair(params(expires=1000), 50.0).is_fresh(wall_clock=lambda: wall_clock, loop_time=lambda: None) is fresh


@pytest.mark.parametrize(
    ("expires", "lifetime"),
    [
        (1900, 900),  # what is left of its time
        (9000, 3600),  # a clock that is late must not make it live longer
        (1000, 3600),  # a clock that is ahead must not make it dead
        (0, 3600),
    ],
)
def test_t8_a_pair_found_in_the_store_is_used_for_its_lifetime_at_most(expires: int, lifetime: int) -> None:
    held = HeldPair.found(params(expires=expires), wall_clock=1000.0, loop_time=50.0)
    assert held.fresh_until == 50.0 + lifetime
    assert held.was_found
    assert not held.was_given


def test_a_pair_without_a_clock_of_its_own_was_given() -> None:
    assert HeldPair(params()).was_given
    assert not HeldPair(params(), 50.0).was_given


@pytest.mark.parametrize(("stored", "may"), [("before", True), ("renewed", True), ("other", False)])
def test_t9_a_renewed_pair_may_replace_itself_and_what_was_there_when_it_was_renewed(stored: str, may: bool) -> None:
    unsaved = UnsavedPair(HeldPair(params(refresh_token="renewed")), asked_at=0.0, replaces="before")
    assert unsaved.may_replace(params(refresh_token=stored)) is may


def test_t3_a_new_pair_is_neither_stored_nor_told() -> None:
    unsaved = UnsavedPair(HeldPair(params()), asked_at=0.0)
    assert (unsaved.store_done, unsaved.callback_done) == (False, False)


def test_t12_a_held_pair_hides_its_tokens() -> None:
    found = HeldPair.found(params(), wall_clock=0.0, loop_time=0.0)
    assert PLANTED not in repr(UnsavedPair(found, asked_at=0.0, replaces=PLANTED))


def test_auth_data_is_the_part_that_requests_need_with_a_plain_domain() -> None:
    pair = params(domain="https://portal.bitrix24.com:443")
    data = auth_data_of(pair)
    assert (data.access_token, data.refresh_token) == (pair.access_token, pair.refresh_token)
    assert (data.expires, data.expires_in, data.member_id) == (pair.expires, pair.expires_in, pair.member_id)
    assert data.domain == "portal.bitrix24.com"
