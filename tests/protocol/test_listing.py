"""How pages of a list are asked for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b24oauth import BadResponseError, InvalidParamsError
from b24oauth.protocol.encoding import encode_query
from b24oauth.protocol.listing import KeysetPager, OffsetPager, V3KeysetPager, listing_of
from b24oauth.testing.brackets import parse_query

OPTIONS: tuple[Any, ...] = ("id_key", "cursor_id_key", "result_key", "paging")


def pager(given_params: dict[str, Any], **options: Any) -> KeysetPager:
    named = {**dict.fromkeys(OPTIONS), **options}
    return KeysetPager(method="my.list", given=given_params, listing=listing_of("my.list", **named))


values = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.lists(st.integers(), max_size=3))
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6).filter(
    lambda name: not set(name) & set("[]. ") and name not in ("filter", "order", "start") and name.isprintable()
)
filters = st.dictionaries(
    st.sampled_from(["TITLE", "%TITLE", ">ID", "<=ID", "@ID", "!STAGE", "ID"]), values, max_size=3
)


@given(
    rest=st.dictionaries(names, values, max_size=3),
    own=st.one_of(st.none(), filters),
    after=st.one_of(st.integers(0, 10**12), st.just("$result[p1][49][ID]")),
    until=st.one_of(st.none(), st.integers(0, 10**12)),
    skip=st.one_of(st.none(), st.integers(0, 10**6)),
)
def test_a_query_encoded_in_parts_says_what_its_parameters_say(
    rest: dict[str, Any], own: dict[str, Any] | None, after: int | str, until: int | None, skip: int | None
) -> None:
    given_params = {**rest, "filter": {name: 5 if name == ">ID" else value for name, value in (own or {}).items()}}
    walk = pager(given_params)
    assert parse_query(walk.query(after, until, skip)) == parse_query(encode_query(walk.params(after, until, skip)))


def test_the_portal_counts_only_where_rows_are_passed_over() -> None:
    walk = pager({"start": 7})
    assert [walk.params(1)["start"], walk.params(1, skip=100)["start"]] == [-1, 100]
    assert parse_query(walk.query(1, 9))["start"] == "-1"
    assert parse_query(walk.query(1, 9, 100))["start"] == "100"
    assert parse_query(walk.query(1, 9))["start"] == "-1"


def test_the_greatest_identifier_is_asked_for_and_counted_within_the_callers_filter() -> None:
    walk = pager({"filter": {">ID": 7, "STAGE": "NEW"}, "select": ["ID"], "order": {"TITLE": "ASC"}, "start": 50})
    assert parse_query(walk.query_of_greatest()) == {
        "select": ["ID"],
        "order": {"ID": "DESC"},
        "start": "0",
        "filter": {"STAGE": "NEW", ">ID": "7"},
    }


def test_what_cannot_be_sent_is_refused_with_its_place() -> None:
    with pytest.raises(InvalidParamsError, match=r"select\[1\]"):
        pager({"select": ["ID", object()]}).query(0)


@pytest.mark.parametrize(
    ("own", "last", "can_be_cut"),
    [
        ({}, None, True),
        ({"<=ID": "9" * 5000}, None, False),
        ({"<=ID": 9}, 9, True),
        ({"<=ID": "9"}, 9, True),
        ({"<=ID": "soon"}, None, False),
    ],
)
def test_the_callers_own_end_is_the_end_of_the_walk(own: dict[str, Any], last: int | None, can_be_cut: bool) -> None:
    walk = pager({"filter": own})
    assert (walk.last, walk.can_be_cut) == (last, can_be_cut)


# --- numbers that no list has -----------------------------------------------------------------------------------------

HUGE = ["9" * 5000, 10**400]


@pytest.mark.parametrize("huge", HUGE)
def test_b1_an_identifier_too_large_to_be_one_ends_no_walk_in_silence(huge: Any) -> None:
    with pytest.raises(BadResponseError, match="no usable `ID`"):
        pager({}).identifier({"ID": huge})
    v3 = V3KeysetPager(method="my.list", given={}, id_key="id", cursor_id_key="id", result_key="items", limit=50)
    with pytest.raises(BadResponseError, match="no usable `id`"):
        v3.read({"result": {"items": [{"id": huge}]}})


@pytest.mark.parametrize("huge", HUGE)
def test_a_bound_too_large_to_be_an_identifier_is_refused_with_its_place(huge: Any) -> None:
    with pytest.raises(InvalidParamsError, match=r"filter\.>ID: must be a whole number"):
        pager({"filter": {">ID": huge}})


@pytest.mark.parametrize("following", [*HUGE, "soon", 50.5])
def test_b1_a_next_page_that_cannot_be_asked_for_is_no_end(following: Any) -> None:
    walk = OffsetPager(method="user.get", given={}, listing=listing_of("user.get", **dict.fromkeys(OPTIONS)))
    with pytest.raises(BadResponseError, match="`next`"):
        walk.read({"result": [{"ID": "1"}], "next": following})


@pytest.mark.parametrize("total", HUGE)
def test_a_total_too_large_to_be_one_is_unknown(total: Any) -> None:
    walk = OffsetPager(method="user.get", given={}, listing=listing_of("user.get", **dict.fromkeys(OPTIONS)))
    assert walk.read({"result": [{"ID": "1"}], "total": total}) == [{"ID": "1"}]
    assert (walk.total, walk.done) == (None, True)
