"""Exports from a fake portal to real files."""

from __future__ import annotations

import asyncio
import csv
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from b24oauth import AjaxError, B24Hook, B24OAuth, ConfigurationError
from b24oauth.exporting import ExportProgress, ExportReport, ExportRequest, export
from b24oauth.exporting.spool import Spool
from b24oauth.testing import FakePortal, ListShape, faults
from tests.support.clients import UNLIMITED, connected, fake_portal

pytestmark = pytest.mark.anyio


@pytest.fixture
def portal() -> FakePortal:
    return fake_portal(rows={"crm.deal": 2500, "crm.item": 130})


@pytest.fixture
async def b24(portal: FakePortal) -> AsyncIterator[B24OAuth]:
    async with connected(portal) as b24:
        yield b24


async def run(b24: B24OAuth, to: Path, method: str = "crm.deal.list", **options: Any) -> ExportReport:
    on_progress = options.pop("on_progress", None)
    return await export(b24, ExportRequest(method=method, to=to, **options), on_progress=on_progress)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def ids(path: Path) -> list[int]:
    return [int(row.get("ID", row.get("id"))) for row in lines(path)]


async def test_every_row_is_a_line_in_order(b24: B24OAuth, tmp_path: Path) -> None:
    report = await run(b24, tmp_path / "deals.jsonl")
    assert ids(tmp_path / "deals.jsonl") == list(range(1, 2501))
    assert lines(tmp_path / "deals.jsonl")[41].items() <= (await b24.call("crm.deal.get", {"id": 42})).items()
    assert (report.rows, report.resumed, report.format) == (2500, 0, "jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["deals.jsonl"]


async def test_options_choose_and_order_rows(b24: B24OAuth, tmp_path: Path) -> None:
    params = {"filter": {">OPPORTUNITY": 90_000}, "select": ["ID", "TITLE"]}
    await run(b24, tmp_path / "x.jsonl", params=params, descending=True, limit=120)
    found = lines(tmp_path / "x.jsonl")
    expected = [number for number in range(2500, 0, -1) if number % 1000 * 100 > 90_000][:120]
    assert [int(row["ID"]) for row in found] == expected
    assert set(found[0]) == {"ID", "TITLE"}


async def test_csv_has_a_header_and_json_for_nested_values(b24: B24OAuth, portal: FakePortal, tmp_path: Path) -> None:
    portal.rows("crm.deal", ids=[1, 2]).update(2, {"TITLE": 'a,"b"\nc', "UF_CRM_TAGS": ["x", "y"], "COMMENTS": "=1+1"})
    await run(b24, tmp_path / "x.csv", params={"select": ["TITLE", "ID", "UF_CRM_TAGS", "COMMENTS"]})
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["TITLE", "ID", "UF_CRM_TAGS", "COMMENTS"],
            ["Deal 1", "1", "", ""],
            ['a,"b"\nc', "2", '["x","y"]', "=1+1"],
        ]
    await run(b24, tmp_path / "x.csv", params={"select": ["ID", "COMMENTS"]}, guard_formulas=True, overwrite=True)
    assert "'=1+1" in (tmp_path / "x.csv").read_text()


async def test_an_empty_list_gives_a_header_of_what_was_selected(b24: B24OAuth, tmp_path: Path) -> None:
    params = {"filter": {">ID": 10_000}, "select": ["ID", "TITLE"]}
    await run(b24, tmp_path / "x.csv", params=params)
    await run(b24, tmp_path / "x.jsonl", params=params)
    assert (tmp_path / "x.csv").read_bytes() == b"ID,TITLE\r\n"
    assert (tmp_path / "x.jsonl").read_bytes() == b""


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
async def test_an_export_that_failed_goes_on_after_the_last_row(
    b24: B24OAuth, portal: FakePortal, tmp_path: Path, suffix: str
) -> None:
    to = tmp_path / f"deals.{suffix}"
    portal.inject(faults.status(403, error="ACCESS_DENIED"), on="batch", after=1, times=None)
    with pytest.raises(AjaxError):
        await run(b24, to)
    assert not to.exists()
    portal.clear_faults()
    before = len(portal.requests)
    report = await run(b24, to)
    assert report.rows == 2500
    assert report.resumed > 0
    first = portal.requests[before]
    assert int(first.params["filter"][">ID"]) == report.resumed
    if suffix == "jsonl":
        assert ids(to) == list(range(1, 2501))


async def test_a_cancelled_export_goes_on(b24: B24OAuth, portal: FakePortal, tmp_path: Path) -> None:
    to = tmp_path / "deals.jsonl"
    seen = asyncio.Event()

    def show(progress: ExportProgress) -> None:
        if progress.rows >= 1500:
            seen.set()

    task = asyncio.create_task(run(b24, to, on_progress=show))
    await seen.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not to.exists()
    report = await run(b24, to)
    assert 1000 <= report.resumed < 2500
    assert ids(to) == list(range(1, 2501))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
async def test_an_export_that_is_cancelled_while_the_file_is_written_goes_on(
    b24: B24OAuth, portal: FakePortal, tmp_path: Path, suffix: str
) -> None:
    pytest.importorskip("pyarrow")
    to = tmp_path / f"deals.{suffix}"
    writing = asyncio.Event()

    def show(progress: ExportProgress) -> None:
        if progress.phase == "writing":
            writing.set()

    task = asyncio.create_task(run(b24, to, on_progress=show))
    await writing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not to.exists()
    before = len(portal.requests)
    report = await run(b24, to)
    assert (report.rows, report.resumed) == (2500, 2500)
    assert {request.method for request in portal.requests[before:]} <= {"crm.deal.fields", "crm.deal.getfields"}
    assert [path.name for path in tmp_path.iterdir()] == [to.name]


async def test_progress_counts_rows_of_before_and_knows_the_total(b24: B24OAuth, tmp_path: Path) -> None:
    steps: list[ExportProgress] = []
    await run(b24, tmp_path / "x.csv", on_progress=steps.append)
    reading = [step.rows for step in steps if step.phase == "reading"]
    assert reading == sorted(reading)
    assert (reading[-1], {step.total for step in steps[1:]}) == (2500, {2500})
    assert steps[-1].phase == "writing"


async def test_an_existing_file_is_not_overwritten(b24: B24OAuth, portal: FakePortal, tmp_path: Path) -> None:
    to = tmp_path / "x.jsonl"
    to.write_text("mine")
    before = len(portal.requests)
    with pytest.raises(ConfigurationError, match="overwrite"):
        await run(b24, to)
    assert (to.read_text(), len(portal.requests)) == ("mine", before)
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]
    await run(b24, to, overwrite=True, limit=5)
    assert ids(to) == [1, 2, 3, 4, 5]


async def broken(b24: B24OAuth, portal: FakePortal, to: Path, **options: Any) -> None:
    portal.inject(faults.status(403, error="ACCESS_DENIED"), on="batch", times=None)
    with pytest.raises(AjaxError):
        await run(b24, to, **options)
    portal.clear_faults()
    assert to.with_name(f"{to.name}.part").stat().st_size > 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"params": {"filter": {">ID": 7}}}, "other parameters"),
        ({"method": "crm.contact.list"}, "another method"),
        ({"format": "csv"}, "another format"),
        ({"descending": True}, "other parameters"),
        ({"limit": 2000}, "other parameters"),
    ],
)
async def test_an_export_of_something_else_does_not_go_on(
    b24: B24OAuth, portal: FakePortal, tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    to = tmp_path / "x.jsonl"
    await broken(b24, portal, to)
    kept = to.with_name("x.jsonl.part").read_bytes()
    with pytest.raises(ConfigurationError, match=named):
        await run(b24, to, **change)
    assert to.with_name("x.jsonl.part").read_bytes() == kept
    await run(b24, to, **change, restart=True)
    assert to.exists()


async def test_another_portal_does_not_go_on(b24: B24OAuth, portal: FakePortal, tmp_path: Path) -> None:
    to = tmp_path / "x.jsonl"
    await broken(b24, portal, to)
    async with connected(fake_portal(member_id="another-member")) as other:
        with pytest.raises(ConfigurationError, match="another portal"):
            await run(other, to)


async def test_the_digest_of_parameters_tells_nothing_about_them(
    b24: B24OAuth, portal: FakePortal, tmp_path: Path
) -> None:
    await broken(b24, portal, tmp_path / "x.jsonl", params={"filter": {"!TITLE": "very personal"}})
    assert "personal" not in (tmp_path / "x.jsonl.part.journal").read_text()


async def test_a_list_without_identifiers_is_exported_from_the_start(
    b24: B24OAuth, portal: FakePortal, tmp_path: Path
) -> None:
    rows = [{"CODE": f"c{number}"} for number in range(320)]
    portal.list_method("sample.list", ListShape(id_key="CODE", filter="", order=""), rows)
    request = ExportRequest(method="sample.list", to=tmp_path / "x.jsonl")
    assert request.identifier is None
    portal.inject(faults.status(403, error="ACCESS_DENIED"), on="batch", times=1)
    with pytest.raises(AjaxError):
        await export(b24, request)
    report = await export(b24, request)
    assert (report.rows, report.resumed) == (320, 0)
    assert lines(tmp_path / "x.jsonl") == rows


async def test_an_undocumented_list_is_resumed_by_the_field_that_is_named(
    b24: B24OAuth, portal: FakePortal, tmp_path: Path
) -> None:
    rows = [{"KEY": number, "X": "y"} for number in range(1, 2000)]
    portal.list_method("sample.list", ListShape(id_key="KEY", filter_field="key", order_field="key"), rows)
    to = tmp_path / "x.jsonl"
    await broken(b24, portal, to, method="sample.list", id_key="KEY", cursor_id_key="key")
    report = await run(b24, to, "sample.list", id_key="KEY", cursor_id_key="key")
    assert report.resumed > 0
    assert lines(to) == rows


async def test_credentials_in_rows_are_masked(portal: FakePortal, tmp_path: Path) -> None:
    async with portal.serve() as served:
        url = served.webhook()
        code = url.rstrip("/").rpartition("/")[2]
        served.rows("crm.deal", ids=[1]).update(1, {"UF_FILE": {"urlMachine": f"{url}file?id=1"}})
        options: dict[str, Any] = {
            "trusted_hosts": [served.origin.removeprefix("http://")],
            "restriction_params": UNLIMITED,
        }
        async with B24Hook(url, **options) as hook:
            await export(hook, ExportRequest(method="crm.deal.list", to=tmp_path / "x.jsonl"))
    text = (tmp_path / "x.jsonl").read_text()
    assert code not in text
    assert "***REDACTED***" in text


async def test_a_full_disk_does_not_hide_why_the_walk_has_failed(
    b24: B24OAuth, portal: FakePortal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(Spool, "append", full)
    portal.inject(faults.status(403, error="ACCESS_DENIED"), on="batch", times=None)
    with pytest.raises(AjaxError) as raised:
        await run(b24, tmp_path / "x.jsonl")
    assert "the disk is full" in "".join(raised.value.__notes__)


async def test_the_file_is_replaced_only_at_the_end(b24: B24OAuth, portal: FakePortal, tmp_path: Path) -> None:
    to = tmp_path / "x.jsonl"
    to.write_text("old")
    await broken(b24, portal, to, overwrite=True)
    assert to.read_text() == "old"
    await run(b24, to, overwrite=True)
    assert ids(to) == list(range(1, 2501))


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
async def test_a_file_that_appeared_meanwhile_is_not_replaced_by_the_last_step(
    b24: B24OAuth, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError("broken off")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="broken off"):
            await run(b24, tmp_path / name)
    (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigurationError, match="overwrite"):
        await run(b24, tmp_path / name)
    assert (tmp_path / name).read_text() == "mine"
    assert (await run(b24, tmp_path / name, overwrite=True)).rows == 2500
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"to": "x.xlsx"}, "suffix"),
        ({"to": "x.jsonl", "limit": 0}, "limit"),
        ({"to": "x.jsonl", "limit": True}, "limit"),
        ({"to": "x.jsonl", "format": "xml"}, "format"),
        ({"to": "x.jsonl", "guard_formulas": True}, "guard_formulas"),
        ({"to": "x.jsonl", "modified_field": "X"}, "modified_field"),
        ({"to": "x.jsonl", "since": "last", "limit": 5}, "limit"),
        ({"to": "x.jsonl", "since": "last", "descending": True}, "descending"),
        ({"to": "x.jsonl", "since": "last", "paging": "offset"}, "identifier"),
        ({"to": "."}, "folder"),
    ],
)
def test_wrong_options_are_refused_by_name(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        _ = ExportRequest(method="crm.deal.list", **options).kind


# --- incremental -----------------------------------------------------------------------------------------------------


def change(portal: FakePortal, row_id: int, time: str, **fields: Any) -> None:
    portal.rows("crm.deal").update(row_id, {"DATE_MODIFY": f"2026-05-01T{time}+03:00", **fields})


@pytest.fixture
def few(portal: FakePortal) -> FakePortal:
    portal.rows("crm.deal", ids=range(1, 201))
    return portal


async def test_rows_since_a_time_come_in_the_order_of_their_change(
    b24: B24OAuth, few: FakePortal, tmp_path: Path
) -> None:
    for row_id, time in ((9, "10:00:05"), (5, "10:00:07"), (3, "10:00:05"), (7, "10:00:06"), (8, "09:59:59")):
        change(few, row_id, time)
    await run(b24, tmp_path / "x.jsonl", since="2026-05-01T10:00:00+03:00", params={"select": ["TITLE"]})
    assert ids(tmp_path / "x.jsonl") == [3, 9, 7, 5]
    assert not (tmp_path / "x.jsonl.since").exists()


async def test_each_run_has_what_changed_since_the_one_before(b24: B24OAuth, few: FakePortal, tmp_path: Path) -> None:
    state = str(tmp_path / "deals.state")

    async def changed(name: str) -> list[int]:
        await run(b24, tmp_path / name, since=state)
        return ids(tmp_path / name)

    assert sorted(await changed("first.jsonl")) == list(range(1, 201))
    assert await changed("nothing.jsonl") == []
    change(few, 20, "10:00:00")
    change(few, 10, "10:00:00")
    assert await changed("second.jsonl") == [10, 20]
    # Of the same second: one changes again, one for the first time, one stays.
    change(few, 20, "10:00:00", TITLE="again")
    change(few, 30, "10:00:00")
    assert await changed("third.jsonl") == [20, 30]
    # A change that becomes visible late.
    change(few, 40, "09:59:30")
    assert await changed("late.jsonl") == [40]
    few.rows("crm.deal").delete(10)
    assert await changed("deleted.jsonl") == []


async def test_a_row_that_changes_while_the_run_reads_belongs_to_the_next_run(
    b24: B24OAuth, portal: FakePortal, tmp_path: Path
) -> None:
    change(portal, 2000, "10:00:00")
    changed = False

    def show(progress: ExportProgress) -> None:
        nonlocal changed
        if not changed:
            changed = True
            change(portal, 1, "10:00:00", TITLE="late")  # it was read already
            change(portal, 2500, "11:00:00", TITLE="later")  # it will be read

    await run(b24, tmp_path / "x.jsonl", since="last", on_progress=show)
    assert sorted(ids(tmp_path / "x.jsonl")) == list(range(1, 2501))
    await run(b24, tmp_path / "x.jsonl", since="last", overwrite=True)
    assert ids(tmp_path / "x.jsonl") == [1]


async def test_a_broken_incremental_run_goes_on_and_leaves_the_same_state(
    b24: B24OAuth, portal: FakePortal, tmp_path: Path
) -> None:
    to = tmp_path / "x.csv"
    await broken(b24, portal, to, since="last")
    assert not (tmp_path / "x.csv.since").exists()
    report = await run(b24, to, since="last")
    assert (report.rows, report.state) == (2500, tmp_path / "x.csv.since")
    report = await run(b24, to, since="last", overwrite=True)
    assert report.rows == 0


async def test_the_state_of_other_runs_is_refused(b24: B24OAuth, few: FakePortal, tmp_path: Path) -> None:
    await run(b24, tmp_path / "a.jsonl", since="last")
    kept = (tmp_path / "a.jsonl.since").read_bytes()
    with pytest.raises(ConfigurationError, match="other parameters"):
        await run(b24, tmp_path / "a.jsonl", since="last", overwrite=True, params={"filter": {"STAGE_ID": "WON"}})
    assert (tmp_path / "a.jsonl.since").read_bytes() == kept


async def test_another_field_of_the_last_change(b24: B24OAuth, portal: FakePortal, tmp_path: Path) -> None:
    params, since = {"entityTypeId": 128}, "2024-12-01T00:00:00+03:00"
    with pytest.raises(ConfigurationError, match="updatedTime: name the field .* with modified_field"):
        await run(b24, tmp_path / "x.jsonl", "crm.item.list", params=params, since="last")
    options = {"modified_field": "createdTime", "since": since}
    await run(b24, tmp_path / "x.jsonl", "crm.item.list", params=params, **options)
    found = [row["createdTime"] for row in lines(tmp_path / "x.jsonl")]
    assert found == sorted(found)
    assert {time[:7] for time in found} == {"2024-12"}


async def test_a_condition_of_the_filter_and_since_exclude_each_other(b24: B24OAuth, tmp_path: Path) -> None:
    params = {"filter": {">=date_modify": "2026-01-01T00:00:00+03:00"}}
    with pytest.raises(ConfigurationError, match="since adds"):
        await run(b24, tmp_path / "x.jsonl", since="2026-01-01T00:00:00+03:00", params=params)
