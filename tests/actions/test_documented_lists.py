"""Every documented list method at a portal that answers as documented: all rows, or an error that says what to do."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from b24oauth import ConfigurationError, SdkError
from b24oauth.testing import FakePortal, ListShape, run_virtual
from tests.support.clients import connected, fake_portal

FACTS = [json.loads(line) for line in (Path(__file__).parents[1] / "data/list-methods.jsonl").read_text().splitlines()]
CONSUMING = {"im.v2.Event.get", "imbot.v2.Event.get", "event.offline.get"}
PAGING = {
    "none": "all",
    "none told, total answered": "all",
    "start": "start",
    "limit/offset": "offset",
    "limit/offset inside params": "offset",
    "limit only": "start",
    "last_id": "last_id",
    "page": "page",
    "nav_params": "page",
}


def shape_of(facts: dict[str, Any]) -> ListShape:
    """The shape that the documentation describes; parameters that it does not name are ignored."""
    params: dict[str, str] = facts.get("params", {})
    paging, inside = facts["paging"], facts.get("inside_params")
    container = params.get("params", "") if inside else ""
    parameter = {"offset": "offset", "page": "page", "last_id": "last_id", "start": "start"}.get(PAGING[paging], "")
    parameter = params.get(parameter, "" if not container else parameter)
    if paging == "page" and "pagenavigation" in params:
        parameter = "pageNavigation.page"
    if paging == "nav_params":
        parameter = f"{facts['positional'][-1 if facts['method'] != 'task.item.list' else 2]}.NAV_PARAMS.iNumPage"
    order = next((params[name] for name in ("order", "sort", "element_order", "iblock_order") if name in params), "")
    pair = facts.get("order") == "string pair"
    follows = facts.get("greater") in ("documented", "inferred", "by SDK")
    total = facts.get("total", "right" if "total" in facts.get("answers", ()) else None)
    forms = {"map by number": "numbers", "map by code": "codes", "map by code and number": "codes"}
    return ListShape(
        rows_key=facts.get("rows", ""),
        form=forms.get(facts.get("form", ""), "list"),
        id_key=facts.get("id", ""),
        filter=params.get("filter", ""),
        filter_field=facts.get("filter id", "") if follows else "",
        order=params.get("order", "") if pair else (order if facts.get("order") else ""),
        sort=params.get("sort", "") if pair else "",
        order_field=facts.get("order id", facts.get("id", "")),
        select=params.get("select", ""),
        paging=PAGING[paging],
        parameter=f"{container}.{parameter}" if container and parameter else parameter,
        limit=f"{container}.limit" if container else params.get("limit", ""),
        page_size=facts.get("page", 50),
        total=total,
        following="next" in facts.get("answers", ()) and total == "right",
        newest_first=paging == "last_id",
        positional=tuple(facts.get("positional", ())),
    )


def rows_of(facts: dict[str, Any], count: int) -> list[Any]:
    if facts.get("form") == "list of values":
        return [f"value {number}" for number in range(count)]
    key = facts.get("id")
    if key is None:
        return [{"NAME": f"row {number}", "OWNER": str(number)} for number in range(count)]
    ids = [f"a{number:06}" if facts.get("text id") else 2 * number + 5 for number in range(count)]
    return [{key: number, "NAME": f"row {number}"} for number in ids]


async def read(portal: FakePortal, facts: dict[str, Any], **options: Any) -> list[Any]:
    params: Any = [1, {}, {}, {}] if facts.get("positional") else {}
    async with connected(portal) as b24:
        return (await b24.actions.v2.call_list.make(facts["method"], params, **options)).result


def outcome(facts: dict[str, Any], count: int, **options: Any) -> str:
    """ "all" for every row once, "refused" for an error; anything else is a silent loss."""
    portal, rows = fake_portal(), rows_of(facts, count)
    portal.list_method(facts["method"], shape_of(facts), rows)

    async def compare() -> str:
        try:
            got = await read(portal, facts, **options)
        except SdkError as error:
            return str(error)
        missing = [row for row in rows if row not in got]
        return "all" if not missing and len(got) == len(rows) else f"SILENT: {len(got)} of {len(rows)}"

    return run_virtual(compare())


@pytest.mark.parametrize("count", [130, 30])
def test_b1_documented_lists_are_read_whole_without_options(count: int) -> None:
    outcomes = {facts["method"]: outcome(facts, count) for facts in FACTS}
    assert [method for method, said in outcomes.items() if said.startswith("SILENT")] == []
    documented = [facts["method"] for facts in FACTS if facts.get("documented") and facts["method"] not in CONSUMING]
    refused = {method: outcomes[method] for method in documented if outcomes[method] != "all"}
    assert len(refused) <= 0.02 * len(documented), refused


OPTIONS: list[dict[str, Any]] = [
    {"paging": "keyset"},
    {"paging": "offset"},
    {"paging": "keyset", "id_key": "id"},
    {"paging": "keyset", "id_key": "ID"},
    {"id_key": "id", "cursor_id_key": "ID"},
    {"id_key": "ID"},
    {"paging": "keyset", "descending": True},
    {"pages_per_request": 1},
    {"concurrency": 1},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_b1_no_option_loses_rows_of_a_documented_list_silently(options: dict[str, Any]) -> None:
    outcomes = {facts["method"]: outcome(facts, 130, **options) for facts in FACTS}
    assert [method for method, said in outcomes.items() if said.startswith("SILENT")] == []
    assert Counter(said == "all" for said in outcomes.values())[True] > 0


@pytest.mark.parametrize("method", sorted(CONSUMING))
@pytest.mark.parametrize("spelling", [str, str.lower])
def test_lists_refuse_methods_that_consume_what_they_read(method: str, spelling: Any) -> None:
    facts = next(facts for facts in FACTS if facts["method"] == method) | {"method": spelling(method)}
    portal = fake_portal()

    async def refused() -> None:
        with pytest.raises(ConfigurationError, match=r"call\.make"):
            await read(portal, facts)

    run_virtual(refused())
    assert portal.requests == []


def test_errors_of_documented_lists_name_the_remedy() -> None:
    said = {outcome(facts, 130) for facts in FACTS} - {"all"}
    remedies = (
        r"Pass a greater `|read it with a plain call|use call\.make|custom_key_for_result|its own paging parameters"
    )
    assert [text for text in said if not re.search(remedies, text)] == []
