"""Random filters, orders, caps, gaps and page shapes: a walk gives exactly the rows that a scan of the data gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from b24oauth.errors import BadResponseError
from b24oauth.testing import ListShape, run_virtual
from b24oauth.testing.conditions import comparable, matching, v2_conditions
from b24oauth.testing.data import ENTITIES
from tests.support.clients import connected, fake_portal
from tests.support.examples import examples

KINDS = {"crm.item.list": ("crm.item", "id", True), "crm.deal.list": ("crm.deal", "ID", False)}


@attrs.frozen
class Names:
    """How a kind of rows spells the fields that filters and orders use."""

    key: str
    stage: str
    user: str
    amount: str


NAMES = {
    "crm.item": Names("id", "stageId", "assignedById", "opportunity"),
    "crm.deal": Names("ID", "STAGE_ID", "ASSIGNED_BY_ID", "OPPORTUNITY"),
}
in_any_case = st.sampled_from([str.lower, str.upper, str.title])
identifiers = st.one_of(
    st.integers(0, 330).map(lambda count: list(range(1, count + 1))),
    st.lists(st.integers(1, 10**8), max_size=200, unique=True).map(sorted),
    st.lists(st.integers(1, 400), max_size=330, unique=True).map(sorted),
)


def conditions(names: Names, present: list[int]) -> st.SearchStrategy[dict[str, Any]]:
    """One condition; bounds lie at, beside and far from the identifiers that exist."""
    near = st.sampled_from(present or [1]).flatmap(lambda found: st.integers(found - 1, found + 1))
    bound = st.one_of(near, st.integers(0, 10**8)).flatmap(lambda value: st.sampled_from([value, str(value)]))
    stages = [f"{'DT128_1:' if names.key == 'id' else ''}{name}" for name in ("NEW", "PREPARATION", "WON")]
    return st.one_of(
        st.tuples(st.sampled_from([">", "<", ">=", "<=", "!"]), bound).map(
            lambda pair: {f"{pair[0]}{names.key}": pair[1]}
        ),
        st.lists(near, max_size=5).map(lambda some: {f"@{names.key}": some}),
        st.sampled_from(stages).map(lambda stage: {f"={names.stage}": stage}),
        st.sampled_from(stages).map(lambda stage: {f"!{names.stage}": stage}),
        st.lists(st.integers(1, 7), min_size=1, max_size=3).map(lambda some: {f"@{names.user}": some}),
        st.integers(0, 100_000).map(lambda amount: {f">={names.amount}": amount}),
    )


def filters(names: Names, present: list[int], *, groups: bool) -> st.SearchStrategy[dict[str, Any]]:
    leaves = st.lists(conditions(names, present), max_size=3).map(
        lambda parts: {k: v for p in parts for k, v in p.items()}
    )
    if not groups:
        return leaves

    def nested(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
        logic = st.sampled_from([{}, {"logic": "OR"}, {"logic": "AND"}, {"LOGIC": "or"}])
        groups_ = st.lists(inner, max_size=3).map(lambda parts: {str(n): part for n, part in enumerate(parts)})
        return st.tuples(logic, groups_, inner).map(lambda parts: {**parts[2], **parts[0], **parts[1]})

    return st.recursive(leaves, nested, max_leaves=5)


def orders(names: Names) -> st.SearchStrategy[dict[str, str]]:
    way = st.sampled_from(["ASC", "DESC", "asc", "desc"])
    # A second field by the identifier makes the order of equal rows known.
    other = st.tuples(st.sampled_from([names.stage, names.amount]), way, way)
    return st.one_of(
        st.just({}),
        way.map(lambda one: {names.key: one}),
        other.map(lambda parts: {parts[0]: parts[1], names.key: parts[2]}),
    )


def scan(rows: list[Mapping[str, Any]], filter_: Any, order: Mapping[str, str], *, groups: bool, key: str) -> list[Any]:
    found = [row for row in rows if matching(row, v2_conditions(filter_, str, groups=groups))]
    for field, way in reversed(order.items() or {key: "ASC"}.items()):
        by: Callable[[Mapping[str, Any]], Any] = lambda row, field=field: comparable(row.get(field))  # noqa: E731
        found.sort(key=by, reverse=way.upper() == "DESC")
    return found


@settings(max_examples=examples(100, 1_000), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), method=st.sampled_from(sorted(KINDS)), present=identifiers)
def test_b1_a_walk_gives_what_a_scan_gives(data: st.DataObject, method: str, present: list[int]) -> None:
    table, key, groups = KINDS[method]
    filter_ = data.draw(filters(NAMES[table], present, groups=groups))
    order = data.draw(orders(NAMES[table]))
    spelled = data.draw(in_any_case)
    options: dict[str, Any] = {
        "pages_per_request": data.draw(st.sampled_from([None, 1, 2, 7, 50])),
        "concurrency": data.draw(st.sampled_from([None, 1, 3])),
        "max_items": data.draw(st.sampled_from([None, None, 1, 50, 120])),
        "paging": data.draw(st.sampled_from([None, None, "offset"])),
    }
    if order == {} and options["paging"] is None and not any("logic" in str(name).lower() for name in filter_):
        options["descending"] = data.draw(st.booleans())
        order = {key: "DESC"} if options["descending"] else {}
        params: dict[str, Any] = {spelled("filter"): filter_}
    else:
        order = order or ({key: "ASC"} if options["paging"] else {})
        params = {spelled("filter"): filter_, spelled("order"): order}
    portal = fake_portal()
    portal.rows(table, ids=present)
    expected = scan([ENTITIES[table].make(n) for n in present], filter_, order, groups=groups, key=key)

    async def walk() -> list[Any]:
        async with connected(portal) as b24:
            return (await b24.actions.v2.call_list.make(method, params, **options)).result

    cap = options["max_items"]
    assert run_virtual(walk()) == (expected if cap is None else expected[:cap])


shapes = st.builds(
    ListShape,
    rows_key=st.sampled_from(["", "items"]),
    form=st.sampled_from(["list", "numbers"]),
    filter=st.sampled_from(["filter", "FILTER", ""]),
    filter_field=st.sampled_from(["ID", ""]),
    order=st.sampled_from(["order", "SORT", ""]),
    paging=st.sampled_from(["start", "all"]),
    page_size=st.sampled_from([10, 20, 50, 50, 100]),
    whole_pages=st.booleans(),
    total=st.sampled_from(["right", "right", None, 0, -1]),
    following=st.booleans(),
    newest_first=st.booleans(),
)


@settings(max_examples=examples(100, 1_000), deadline=None, suppress_health_check=list(HealthCheck))
@given(shape=shapes, present=identifiers, method=st.sampled_from(["my.list", "crm.deal.list"]))
def test_b1_whatever_the_shape_of_pages_no_row_is_lost_or_repeated(
    shape: ListShape, present: list[int], method: str
) -> None:
    if method == "crm.deal.list":
        shape = attrs.evolve(shape, page_size=50)  # as documented
    portal = fake_portal()
    everything = [{"ID": str(number), "NAME": f"n{number}"} for number in present]
    portal.list_method(method, shape, everything)

    async def walk() -> list[Any]:
        async with connected(portal) as b24:
            return (await b24.actions.v2.call_list.make(method)).result

    try:
        found = run_virtual(walk())
    except BadResponseError:
        return  # refused, which loses nothing silently
    assert sorted(found, key=lambda row: int(row["ID"])) == everything
