"""References between commands: only those that a program makes are followed, and only where they lead somewhere."""

from __future__ import annotations

import enum
from typing import Any

import pytest

from b24oauth import (
    AccessDeniedError,
    AjaxResult,
    AmbiguousResultError,
    BatchRefV2,
    BatchRefV3,
    InvalidParamsError,
    RateLimitConfig,
    RestrictionParams,
)
from b24oauth.errors import InvalidCallParamsError, RequestTimeoutError
from b24oauth.testing import FakePortal, faults
from tests.support.clients import connected, fake_portal
from tests.support.lists import ids, rows_of

pytestmark = pytest.mark.anyio

INJECTION = "$result[secret][TITLE]"
SECRET = ("crm.deal.get", {"id": 1})


class Text(str):
    """A user's text of a class of its own."""

    __slots__ = ()


class Choice(enum.Enum):
    INJECTION = INJECTION


def adding(title: Any) -> tuple[str, dict[str, Any]]:
    return "crm.deal.add", {"fields": {"TITLE": title}}


def titles(portal: FakePortal) -> list[str]:
    """Titles of the deals that were added to the nine there are."""
    return [str(row["TITLE"]) for row in map(portal.rows("crm.deal").get, range(10, 200)) if row]


def sent(portal: FakePortal) -> list[str]:
    return [request.method for request in portal.requests]


# --- what leaves the batch --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        INJECTION,
        f"Copy of {INJECTION}",
        "$RESULT[secret][TITLE]",
        "$resultx[secret][TITLE]",
        "$total[secret]",
        "$time[secret][start]",
        "$result%5Bsecret%5D",
        "$result[",
        Text(INJECTION),
        Choice.INJECTION,
    ],
)
async def test_text_that_looks_like_a_reference_is_sent_as_it_is_by_a_call_of_its_own(text: Any) -> None:
    portal = fake_portal(rows={"crm.deal": 9})
    async with connected(portal) as b24:
        calls = {"secret": SECRET, "new": adding(text), "last": ("crm.deal.get", {"id": 2})}
        result = await b24.actions.v2.batch_by_chunk.make(calls, is_halt_on_error=False)
    written = text.value if isinstance(text, enum.Enum) else text
    assert titles(portal) == [written]
    assert list(result.result) == ["secret", "new", "last"]
    assert [result.result["secret"]["ID"], result.result["new"], result.result["last"]["ID"]] == ["1", 10, "2"]
    assert sorted(sent(portal)) == ["batch", "crm.deal.add"]


async def test_a_single_call_does_not_resolve_references_and_a_batch_does() -> None:
    portal = fake_portal(rows={"crm.deal": 9})
    async with connected(portal) as b24:
        await b24.actions.v2.call.make(*adding(INJECTION))
        calls = {"secret": SECRET, "new": adding(INJECTION)}
        await b24.actions.v2.batch.make(calls, allow_text_references=True)
    assert titles(portal) == [INJECTION, "Deal 1"]


@pytest.mark.parametrize("text", ["$result", "$result a[0]", "$5[net]", "result[a][b]", "100 % [x]", "$"])
async def test_other_text_stays_in_the_batch(text: str) -> None:
    portal = fake_portal(rows={"crm.deal": 9})
    async with connected(portal) as b24:
        await b24.actions.v2.batch.make({"secret": SECRET, "new": adding(text)})
    assert titles(portal) == [text]
    assert sent(portal) == ["batch"]


async def test_commands_that_leave_keep_their_places_in_a_list_of_any_size() -> None:
    portal = fake_portal(rows={"crm.deal": 9})
    calls: list[Any] = [("crm.deal.get", {"id": position % 9 + 1}) for position in range(120)]
    for position in (0, 49, 50, 119):
        calls[position] = adding(f"{INJECTION} {position}")
    calls[70] = ("crm.deal.get", {"id": BatchRefV2.ref(60, "ID")})
    async with connected(portal) as b24:
        result = await b24.actions.v2.batch_by_chunk.make(calls, is_halt_on_error=False)
    rows = result.result
    assert [rows[position]["ID"] for position in (1, 48, 51, 60, 70)] == ["2", "4", "7", "7", "7"]
    assert sorted(rows[position] for position in (0, 49, 50, 119)) == [10, 11, 12, 13]
    assert sorted(titles(portal)) == sorted(f"{INJECTION} {position}" for position in (0, 49, 50, 119))
    assert sent(portal).count("batch") == 3


async def test_a_command_that_left_shares_request_id_timeout_and_form_of_the_result() -> None:
    portal = fake_portal(rows={"crm.deal": 9}, latency=1.0)
    calls = {"secret": SECRET, "list": ("crm.deal.list", {"filter": {"TITLE": INJECTION}})}
    async with connected(portal) as b24:
        result = await b24.actions.v2.batch_by_chunk.make(
            calls, is_halt_on_error=False, return_ajax_result=True, request_id="r-7", timeout=20
        )
        assert portal.clock.elapsed == pytest.approx(1, abs=0.1)  # beside the batch
        late = await b24.actions.v2.batch_by_chunk.make(calls, is_halt_on_error=False, timeout=0.5)
    rows: dict[str, AjaxResult[Any]] = result.result
    assert (rows["list"].get_total(), rows["list"].result) == (0, [])
    assert rows["list"].get_query().params == calls["list"][1]
    assert rows["list"].get_data().time is not None  # type: ignore[union-attr]
    assert {request.query["bx24_request_id"] for request in portal.requests[:2]} == {"r-7"}
    assert {key: type(error) for key, error in late.errors.items()} == dict.fromkeys(calls, RequestTimeoutError)


@pytest.mark.parametrize(
    ("method", "options", "runs"),
    [("crm.deal.add", {}, 1), ("crm.deal.add", {"idempotent": True}, 2), ("crm.deal.list", {}, 2)],
)
async def test_l5_a_command_that_left_is_repeated_only_when_that_does_no_harm(
    method: str, options: dict[str, Any], runs: int
) -> None:
    portal = fake_portal(rows={"crm.deal": 9})
    portal.inject(faults.drop_after(), on=method)
    calls = {"a": SECRET, "b": (method, {"fields": {"TITLE": INJECTION}})}
    async with connected(portal) as b24:
        result = await b24.actions.v2.batch_by_chunk.make(calls, is_halt_on_error=False, **options)
    assert portal.executed[method] == runs
    assert [type(error) for error in result.errors.values()] == ([AmbiguousResultError] if runs == 1 else [])
    assert result.get_data()["a"]["ID"] == "1"


async def test_b3_a_command_that_left_and_fails_hides_no_other_result() -> None:
    portal = fake_portal(rows={"crm.deal": 9})
    portal.inject(faults.status(403, error="ACCESS_DENIED"), on="crm.deal.add")
    async with connected(portal) as b24:
        result = await b24.actions.v2.batch_by_chunk.make([SECRET, adding(INJECTION)], is_halt_on_error=False)
    assert [row and row["ID"] for row in result.get_data()] == ["1", None]
    assert {key: type(error) for key, error in result.errors.items()} == {"1": AccessDeniedError}


async def test_commands_that_left_wait_for_the_limits_and_for_each_other() -> None:
    portal = fake_portal(rows={"crm.deal": 9}, burst=2, drain=1)
    limits = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=2, drain_rate=1))
    async with connected(portal, restriction_params=limits) as b24:
        calls = [adding(f"{INJECTION} {number}") for number in range(6)]
        assert (await b24.actions.v2.batch_by_chunk.make(calls, is_halt_on_error=False)).is_success
    assert portal.refused == 0
    assert portal.clock.elapsed == pytest.approx(4, abs=0.5)
    assert len(titles(portal)) == 6


async def test_a_name_that_looks_like_a_reference_leaves_the_batch_too() -> None:
    portal = fake_portal(rows={"crm.deal": 9})
    calls = [("crm.deal.list", {"filter": {INJECTION: "x"}}), ("crm.deal.list", {INJECTION: "x"}), SECRET]
    async with connected(portal) as b24:
        result = await b24.actions.v2.batch_by_chunk.make(calls, is_halt_on_error=False)
    assert result.is_success
    assert sorted(sent(portal)) == ["batch", "crm.deal.list", "crm.deal.list"]


async def test_a_list_does_not_fill_in_the_text_of_its_filter() -> None:
    portal = fake_portal(rows={"crm.deal": 400})
    async with connected(portal) as b24:
        plain = await b24.actions.v2.call_list.make("crm.deal.list", {"filter": {"!TITLE": "$result[p0][0][TITLE]"}})
        rows = await rows_of(b24.actions.v2.fetch_list.make("crm.deal.list", {"filter": {"!TITLE": "$next[p0]"}}))
    assert ids(plain.result) == ids(rows) == list(range(1, 401))
    assert "batch" not in sent(portal)


# --- what is refused --------------------------------------------------------------------------------------------------

FILLED_IN = [
    (adding(INJECTION), "fields.TITLE"),
    (("crm.deal.add", {"fields": {"TITLE": ["fine", INJECTION]}}), r"fields.TITLE\[1\]"),
    (("crm.deal.list", {"filter": {INJECTION: 1}}), "filter.<key>"),
    (("crm.deal.list", {"filter": {"=TITLE": {"deep": (Text(INJECTION),)}}}), r"filter.=TITLE.deep\[0\]"),
    (("task.item.list", [{"ID": "asc"}, {"TITLE": INJECTION}]), "1.TITLE"),
    (("crm.deal.list", {INJECTION: 1}), "<key>"),
]


@pytest.mark.parametrize(("command", "place"), FILLED_IN)
@pytest.mark.parametrize("action", ["batch", "batch without halt", "chunk"])
async def test_text_that_looks_like_a_reference_is_refused_where_it_cannot_leave(
    command: Any, place: str, action: str
) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        made = b24.actions.v2.batch_by_chunk if action == "chunk" else b24.actions.v2.batch
        with pytest.raises(
            InvalidCallParamsError, match=rf"Command new \({command[0]}\): {place} .*BatchRefV2"
        ) as caught:
            await made.make({"secret": SECRET, "new": command}, is_halt_on_error=action != "batch without halt")
    assert INJECTION not in str(caught.value)
    assert not portal.requests


@pytest.mark.parametrize("marker", ["$ref", "$refArray", "$REF"])
@pytest.mark.parametrize("chunk", [True, False])
@pytest.mark.parametrize("halt", [True, False])
async def test_a_mapping_that_looks_like_a_reference_is_refused_in_v3(marker: str, chunk: bool, halt: bool) -> None:
    portal = fake_portal()
    command = ("tasks.task.add", {"fields": {"title": [{marker: "secret.item.title"}]}})
    async with connected(portal) as b24:
        made = b24.actions.v3.batch_by_chunk if chunk else b24.actions.v3.batch
        with pytest.raises(
            InvalidCallParamsError, match=r"Command b \(tasks.task.add\): fields.title\[0\].*BatchRefV3"
        ):
            await made.make({"secret": ("tasks.task.get", {"id": 1}), "b": command}, is_halt_on_error=halt)
    assert not portal.requests


async def test_text_references_can_be_allowed_in_v3() -> None:
    portal = fake_portal()
    calls = {"one": ("tasks.task.get", {"id": 1}), "same": ("tasks.task.get", {"id": {"$ref": "one.item.id"}})}
    async with connected(portal) as b24:
        for action in (b24.actions.v3.batch, b24.actions.v3.batch_by_chunk):
            result = (await action.make(calls, allow_text_references=True)).result
            assert result["same"] == result["one"]


async def test_what_only_the_other_version_resolves_stays_as_it_is() -> None:
    portal = fake_portal(rows={"crm.deal": 9})
    async with connected(portal) as b24:
        await b24.actions.v2.batch.make({"secret": SECRET, "new": adding({"$ref": "secret.TITLE"})})
        task = ("tasks.task.add", {"fields": {"title": INJECTION}})
        made = await b24.actions.v3.batch.make({"secret": ("tasks.task.get", {"id": 1}), "new": task})
    assert titles(portal) == ["{'$ref': 'secret.TITLE'}"]
    assert made.result["new"]["item"]["title"] == INJECTION


@pytest.mark.parametrize(
    ("calls", "problem"),
    [
        (
            {"a": adding(BatchRefV2.ref("b", "ID")), "b": SECRET},
            "Command a .*fields.TITLE refers to command b, .* before",
        ),
        ({"a": adding(BatchRefV2.ref("a", "ID"))}, "must come before it"),
        ({"a": SECRET, "b": adding(BatchRefV2.ref("c", "ID"))}, "Command b .* command c, which is not in the batch"),
        ([SECRET, adding(BatchRefV2.ref(2, "ID"))], "Command 1 .* command 2, which is not in the batch"),
        ([SECRET, adding(BatchRefV2.ref("0x", "ID"))], "which is not in the batch"),
        ([SECRET, adding(BatchRefV2.format("{} {}", BatchRefV2.ref(0), BatchRefV2.ref(1)))], "must come before it"),
        ([SECRET, adding(BatchRefV3.ref("0.item.id"))], "BatchRefV3 does not work in a batch of v2"),
    ],
)
async def test_a_reference_that_leads_nowhere_is_refused(calls: Any, problem: str) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        for action in (b24.actions.v2.batch, b24.actions.v2.batch_by_chunk):
            for halt in (True, False):
                with pytest.raises(InvalidCallParamsError, match=problem):
                    await action.make(calls, is_halt_on_error=halt)
    assert not portal.requests


@pytest.mark.parametrize("halt", [True, False])
async def test_a_reference_into_another_request_is_refused(halt: bool) -> None:
    portal = fake_portal(rows={"crm.deal": 9})
    calls: list[Any] = [SECRET] * 60
    calls[50] = ("crm.deal.get", {"id": BatchRefV2.ref(49, "ID")})
    async with connected(portal) as b24:
        with pytest.raises(InvalidCallParamsError, match=r"Command 50 .* command 49, which is sent in another request"):
            await b24.actions.v2.batch_by_chunk.make(calls, is_halt_on_error=halt)
        calls[50], calls[59] = SECRET, ("crm.deal.get", {"id": BatchRefV2.ref(50, "ID")})
        result = await b24.actions.v2.batch_by_chunk.make(calls, is_halt_on_error=halt)
    assert result.result[59]["ID"] == "1"
    assert sent(portal) == ["batch", "batch"]


async def test_a_reference_to_or_from_a_command_that_would_leave_is_refused() -> None:
    portal = fake_portal(rows={"crm.deal": 9})
    async with connected(portal) as b24:
        chunk = b24.actions.v2.batch_by_chunk
        calls = {"new": adding(INJECTION), "read": ("crm.deal.get", {"id": BatchRefV2.ref("new")})}
        with pytest.raises(
            InvalidCallParamsError, match=r"Command read .* command new, which is sent as a call of its own"
        ):
            await chunk.make(calls, is_halt_on_error=False)
        both = {"TITLE": INJECTION, "COMMENTS": BatchRefV2.ref("secret", "TITLE")}
        with pytest.raises(InvalidCallParamsError, match=r"Command new .*fields.TITLE is text"):
            await chunk.make({"secret": SECRET, "new": ("crm.deal.add", {"fields": both})}, is_halt_on_error=False)
    assert not portal.requests


@pytest.mark.parametrize("reference", [BatchRefV2.ref("a", "ID"), BatchRefV3.ref("a.item.id")])
async def test_a_reference_means_nothing_outside_of_a_batch(reference: Any) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        v2, v3 = b24.actions.v2, b24.actions.v3
        for made in (
            v2.call.make("crm.deal.get", {"id": reference}),
            v3.call.make("tasks.task.get", {"id": reference}),
            v2.call_list.make("crm.deal.list", {"filter": {"=ID": reference}}),
        ):
            with pytest.raises(InvalidParamsError, match="only works inside a batch"):
                await made
    assert not portal.requests


async def test_a_value_that_cannot_be_sent_is_refused_with_the_name_of_its_command() -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        for calls in ({"a": SECRET, "b": adding(object())}, {"a": SECRET, "b": ("profile", {"x[": 1})}):
            with pytest.raises(InvalidCallParamsError, match=r"Command b \(.*\): ") as caught:
                await b24.actions.v2.batch.make(calls)
            assert caught.value.__context__ is None
    assert not portal.requests


# --- what is followed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_chunk", [True, False])
@pytest.mark.parametrize("halt", [True, False])
async def test_references_are_followed_in_every_form_of_a_batch(by_chunk: bool, halt: bool) -> None:
    def forms(name: Any, other: Any) -> list[Any]:
        copy = BatchRefV2.format(
            "Copy of {} by {}", BatchRefV2.ref(name, "TITLE"), BatchRefV2.ref(name, "ASSIGNED_BY_ID")
        )
        return [SECRET, adding(copy), ("crm.deal.get", {"id": BatchRefV2.ref(other)})]

    named = dict(zip("abc", forms("a", "b"), strict=True))
    with_as = [
        {"method": method, "params": params, "as": alias}
        for alias, (method, params) in zip("xyz", forms("x", 1), strict=True)
    ]
    for calls in (forms(0, "1"), named, with_as):
        portal = fake_portal(rows={"crm.deal": 9})
        async with connected(portal) as b24:
            made = b24.actions.v2.batch_by_chunk if by_chunk else b24.actions.v2.batch
            result = (await made.make(calls, is_halt_on_error=halt)).result
        last = result["c"] if isinstance(calls, dict) else result[2]
        assert last["TITLE"] == "Copy of Deal 1 by 2"
        assert sent(portal) == ["batch"]


async def test_v3_references_are_followed_by_name_and_by_number_also_in_later_requests() -> None:
    portal = fake_portal(rows={"tasks.task": 200})
    calls: list[Any] = [("tasks.task.get", {"id": number}) for number in range(1, 61)]
    calls[59] = ("tasks.task.get", {"id": BatchRefV3.ref("52.item.id")})
    named = {
        "all": {"method": "tasks.task.list", "params": {"pagination": {"limit": 3}}, "as": "tasks"},
        "some": ("tasks.task.list", {"filter": [["id", "in", BatchRefV3.ref_array("tasks.id")]]}),
        "same": ("tasks.task.list", {"filter": [["id", "in", BatchRefV3.ref_array("all.id")]]}),
    }
    async with connected(portal) as b24:
        result = (await b24.actions.v3.batch_by_chunk.make(calls)).result
        lists = (await b24.actions.v3.batch.make(named)).result
    assert result[59]["item"]["id"] == 53
    assert ids(lists["some"]["items"], "id") == ids(lists["same"]["items"], "id") == [1, 2, 3]


@pytest.mark.parametrize(
    ("calls", "problem"),
    [
        ([("tasks.task.get", {"id": BatchRefV3.ref("1.item.id")}), ("tasks.task.get", {"id": 1})], "before it"),
        ([("tasks.task.get", {"id": BatchRefV3.ref("x.item.id")})], "command x, which is not in the batch"),
        ([("tasks.task.get", {"id": BatchRefV2.ref(0)})], "BatchRefV2 does not work in a batch of v3"),
        ([("profile",), {"method": "profile", "as": "0"}], "Command 0 .*no `as`"),
    ],
)
async def test_a_v3_reference_that_leads_nowhere_is_refused(calls: Any, problem: str) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        for action in (b24.actions.v3.batch, b24.actions.v3.batch_by_chunk):
            with pytest.raises(InvalidCallParamsError, match=problem):
                await action.make(calls)
    assert not portal.requests


async def test_in_v3_some_commands_of_a_list_may_have_names() -> None:
    portal = fake_portal()
    calls = [
        {"method": "tasks.task.list", "as": "tasks", "params": {"pagination": {"limit": 2}}},
        {"method": "tasks.task.list", "params": {"filter": [["id", "in", BatchRefV3.ref_array("tasks.id")]]}},
        ("tasks.task.get", {"id": BatchRefV3.ref("1.items.0.id")}),
        {"method": "profile", "as": "7"},
    ]
    async with connected(portal) as b24:
        result = (await b24.actions.v3.batch.make(calls)).result
    assert ids(result[1]["items"], "id") == [1, 2]
    assert result[2]["item"]["id"] == 1
    assert result[3]["ID"] == "1"


@pytest.mark.parametrize("by_chunk", [True, False])
async def test_rows_of_a_v3_batch_carry_the_time_of_the_batch(by_chunk: bool) -> None:
    portal = fake_portal(latency=2.0)
    async with connected(portal) as b24:
        made = b24.actions.v3.batch_by_chunk if by_chunk else b24.actions.v3.batch
        result = await made.make([("profile",), ("server.time",)], return_ajax_result=True)
    rows: list[AjaxResult[Any]] = result.result
    times = [row.get_data().time for row in rows]  # type: ignore[union-attr]
    assert times[0] == times[1]
    assert times[0] is not None
    assert times[0]["start"] == portal.requests[0].time


async def test_a_refused_command_with_a_reference_is_not_sent_again_without_its_source() -> None:
    portal = fake_portal(rows={"crm.deal": 9}, operating={"crm.deal.add": 480.0})
    async with connected(portal) as b24:
        calls = {"a": SECRET, "b": adding("x"), "c": adding(BatchRefV2.ref("a", "TITLE"))}
        result = await b24.actions.v2.batch.make(calls, is_halt_on_error=False)
    assert set(result.errors) == {"c"}
    assert sent(portal) == ["batch"]
