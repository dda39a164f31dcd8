"""Lists of REST v3 and of positional methods, at portals that are awkward about them."""

from __future__ import annotations

from typing import Any

import pytest

from b24oauth import ConfigurationError, InvalidParamsError, ListChangedError, SdkError
from b24oauth.errors import BadResponseError
from b24oauth.testing import FakePortal, Reply
from tests.support.clients import connected, fake_portal
from tests.support.lists import ids

pytestmark = pytest.mark.anyio


async def read_v3(portal: FakePortal, params: dict[str, Any] | None = None, **options: Any) -> list[Any]:
    async with connected(portal) as b24:
        return (await b24.actions.v3.call_list.make("my.list", params, **options)).result


def deaf(rows: list[Any]) -> FakePortal:
    """A portal whose list takes no pagination, and which complains of endless walks."""
    portal = fake_portal()

    def answer(_params: dict[str, Any]) -> dict[str, Any]:
        assert portal.calls["my.list"] < 10
        return {"items": rows}

    portal.method("my.list", answer)
    return portal


@pytest.mark.parametrize("count", [1, 2, 49])
@pytest.mark.parametrize("allow_changes", [True, False])
async def test_b1_a_v3_list_without_pagination_ends_when_its_rows_come_again(count: int, allow_changes: bool) -> None:
    rows = [{"id": n} for n in range(1, count + 1)]
    found = await read_v3(deaf(rows), {"order": {"title": "ASC"}}, allow_changes=allow_changes)
    assert found == rows
    nameless = [{"title": f"t{n}"} for n in range(count)]
    assert await read_v3(deaf(nameless), allow_changes=allow_changes) == nameless


async def test_b1_a_full_v3_page_that_comes_again_is_refused() -> None:
    with pytest.raises(BadResponseError, match="same 50 rows again"):
        await read_v3(deaf([{"id": n} for n in range(50)]), {"order": {"title": "ASC"}}, allow_changes=True)


async def test_changes_may_be_allowed_in_a_v3_list_without_identifiers() -> None:
    rows = [{"title": f"t{n}"} for n in range(120)]
    portal = fake_portal()

    def answer(params: dict[str, Any]) -> dict[str, Any]:
        offset = params["pagination"].get("offset", 0)
        page = rows[offset : offset + 50]
        del rows[:1]
        return {"items": page}

    portal.method("my.list", answer)
    assert len(await read_v3(portal, allow_changes=True)) >= 117


@pytest.mark.parametrize(
    ("params", "options", "names"),
    [
        ({"order": {"id": "ASC"}}, {"descending": True}, "descending"),
        ({"pagination": {"Limit": 20}}, {}, "pagination"),
        ({"pagination": {"pages": 2}}, {}, "pagination"),
        ({"filter": "id"}, {}, "filter"),
        ({"cursor": {"field": "id"}}, {}, "cursor"),
    ],
)
async def test_b1_what_a_v3_list_cannot_honour_is_refused_unsent(
    params: dict[str, Any], options: dict[str, Any], names: str
) -> None:
    portal = fake_portal()
    with pytest.raises((ConfigurationError, InvalidParamsError, SdkError), match=names):
        await read_v3(portal, params, **options)
    assert portal.requests == []


@pytest.mark.parametrize(
    ("params", "options", "names"),
    [
        ({"cursor": {"field": "id"}}, {}, "cursor_field"),
        ({"order": {"id": "DESC"}}, {}, "order"),
        ({"pagination": {"limit": 20}}, {}, "limit"),
        ({}, {"order": "sideways"}, "order"),
        ({}, {"order": 5}, "order"),
        ({}, {"order": "DESC NULLS LAST", "initial_value": 5}, "order"),
    ],
)
async def test_b1_what_a_tail_cannot_honour_is_refused_unsent(
    params: dict[str, Any], options: dict[str, Any], names: str
) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        with pytest.raises((ConfigurationError, InvalidParamsError), match=names):
            await b24.actions.v3.call_tail.make("main.eventlog.tail", params, **options)
    assert portal.requests == []


async def test_an_option_that_is_none_counts_as_left_out() -> None:
    portal = fake_portal(rows={"crm.deal": 120})
    async with connected(portal) as b24:
        v3 = b24.actions.v3
        listed: Any = {"id_key": None, "cursor_id_key": None, "custom_key_for_result": None, "limit": None}
        assert len((await v3.call_list.make("crm.deal.list", **listed)).result) == 120
        tail: Any = {"cursor_field": None, "order": None, "custom_key_for_result": None, "limit": None}
        assert len((await v3.call_tail.make("crm.deal.tail", **tail)).result) == 120


@pytest.mark.parametrize("method", ["event.offline.get", "imbot.v2.Event.get", "im.v2.event.get"])
@pytest.mark.parametrize("action", ["call_list", "fetch_list", "call_tail", "fetch_tail"])
async def test_v3_lists_and_tails_refuse_methods_that_consume_what_they_read(method: str, action: str) -> None:
    portal = fake_portal()

    async def read(actions: Any) -> None:
        made = getattr(actions, action).make(method)
        if action.startswith("call"):
            await made
        else:
            async for _ in made:
                pass

    async with connected(portal) as b24:
        with pytest.raises(ConfigurationError, match=r"call\.make"):
            await read(b24.actions.v3)
    assert portal.requests == []


def pages_of_tasks(rows: list[Any]) -> FakePortal:
    """A portal with a positional list, read by page number."""
    portal = fake_portal()

    def answer(params: dict[str, Any]) -> Reply:
        number = int(params["3"]["NAV_PARAMS"]["iNumPage"])
        page = rows[(number - 1) * 50 : number * 50]
        return Reply(result=page, total=len(rows))

    portal.method("task.items.getlist", answer)
    return portal


async def read_tasks(portal: FakePortal, params: Any, **options: Any) -> list[Any]:
    async with connected(portal) as b24:
        return (await b24.actions.v2.call_list.make("task.items.getlist", params, **options)).result


async def test_b1_a_positional_list_that_changes_is_noticed() -> None:
    rows = [{"ID": n} for n in range(130)]
    portal = pages_of_tasks(rows)

    def lose(done: int, _total: int | None) -> None:
        if done == 50:
            del rows[:2]

    with pytest.raises(ListChangedError) as raised:
        await read_tasks(portal, [], on_progress=lose)
    assert ids(raised.value.rows) == list(range(50))
    rows[:] = [{"ID": n} for n in range(130)]
    assert len(await read_tasks(portal, [], on_progress=lose, allow_changes=True)) == 128


async def test_the_progress_of_a_positional_list_knows_the_total() -> None:
    told: list[tuple[int, int | None]] = []
    await read_tasks(pages_of_tasks([{"ID": n} for n in range(130)]), [], on_progress=lambda *one: told.append(one))
    assert told == [(50, 130), (100, 130), (130, 130)]


@pytest.mark.parametrize("page", [2, "3"])
async def test_b1_a_page_of_a_positional_list_is_refused_as_a_start(page: Any) -> None:
    portal = pages_of_tasks([])
    with pytest.raises(ConfigurationError, match="iNumPage"):
        await read_tasks(portal, [{}, {}, [], {"NAV_PARAMS": {"iNumPage": page}}])
    assert portal.requests == []
    await read_tasks(portal, [{}, {}, [], {"NAV_PARAMS": {"nPageSize": 20, "iNumPage": 1}}])


# --- lists that also page by identifiers of their own -----------------------------------------------------------------


async def read_v2(portal: FakePortal, method: str, params: dict[str, Any]) -> list[Any]:
    async with connected(portal) as b24:
        return (await b24.actions.v2.call_list.make(method, params)).result


@pytest.mark.parametrize(
    ("method", "name"),
    [("log.blogpost.get", "FIRST_ID"), ("log.blogpost.get", "last_id"), ("im.dialog.users.list", "LAST_ID")],
)
async def test_b1_an_identifier_that_switches_the_paging_of_a_list_is_refused(method: str, name: str) -> None:
    portal = fake_portal()
    with pytest.raises(InvalidParamsError, match=name):
        await read_v2(portal, method, {name: 100})
    assert portal.requests == []


def history(*, prefers_first: bool, between: bool = False) -> FakePortal:
    """A portal with the messages 1 to 300, which are read back from the newest one, or forward from `FIRST_ID`."""
    portal = fake_portal()

    def answer(params: dict[str, Any]) -> dict[str, Any]:
        first, last = int(params.get("FIRST_ID") or 0), int(params.get("LAST_ID") or 301)
        found = [n for n in range(300, first if between else 0, -1) if n < last][:20]
        if first and not between and (prefers_first or "LAST_ID" not in params):
            found = [*range(first + 20, first, -1)]
        return {"messages": [{"id": n} for n in found], "comments": [{"id": n} for n in found]}

    portal.method("im.dialog.messages.get", answer)
    portal.method("log.blogcomment.user.get", answer)
    return portal


@pytest.mark.parametrize("prefers_first", [True, False])
async def test_b1_a_history_that_is_read_forward_is_neither_cut_off_nor_widened(prefers_first: bool) -> None:
    portal = history(prefers_first=prefers_first)
    with pytest.raises(BadResponseError, match="FIRST_ID"):
        await read_v2(portal, "im.dialog.messages.get", {"FIRST_ID": 100})
    assert ids(await read_v2(portal, "im.dialog.messages.get", {"LAST_ID": 200}), "id") == list(range(199, 0, -1))


async def test_a_history_may_end_at_a_first_identifier() -> None:
    portal = history(prefers_first=False, between=True)
    params = {"FIRST_ID": "100", "LIMIT": 20}
    assert ids(await read_v2(portal, "log.blogcomment.user.get", params), "id") == list(range(300, 100, -1))
