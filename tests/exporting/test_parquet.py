"""Exports to Parquet, read back by pyarrow."""

from __future__ import annotations

import datetime as dt
import io
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from b24oauth import AjaxError, B24OAuth, NetworkError
from b24oauth.exporting import ExportReport, ExportRequest, export
from b24oauth.exporting.columns import Column
from b24oauth.testing import FakePortal, faults
from tests.support.clients import connected, fake_portal

pq: Any = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.anyio

FIELDS: dict[str, Any] = {
    "ID": {"type": "integer", "isMultiple": False},
    "TITLE": {"type": "string", "isMultiple": False},
    "OPPORTUNITY": {"type": "double", "isMultiple": False},
    "CONTACT_ID": {"type": "crm_contact", "isMultiple": False},
    "OPENED": {"type": "char", "isMultiple": False},
    "DATE_CREATE": {"type": "datetime", "isMultiple": False},
    "UF_DAY": {"type": "date", "isMultiple": False},
    "UF_FLAG": {"type": "boolean", "isMultiple": False},
    "UF_NUMBERS": {"type": "integer", "isMultiple": True},
    "UF_PHONES": {"type": "crm_multifield", "isMultiple": True},
    "UF_PLACE": {"type": "address", "isMultiple": False},
}


@pytest.fixture
def portal() -> FakePortal:
    portal = fake_portal(rows={"crm.deal": 60})
    portal.method("crm.deal.fields", lambda _: FIELDS)
    return portal


@pytest.fixture
async def b24(portal: FakePortal) -> AsyncIterator[B24OAuth]:
    async with connected(portal) as b24:
        yield b24


async def run(b24: B24OAuth, to: Path, method: str = "crm.deal.list", **options: Any) -> tuple[ExportReport, Any]:
    report = await export(b24, ExportRequest(method=method, to=to, **options))
    return report, pq.read_table(to)


async def test_columns_have_the_types_that_the_portal_declares(
    b24: B24OAuth, portal: FakePortal, tmp_path: Path
) -> None:
    portal.rows("crm.deal").update(
        2,
        {
            "UF_DAY": "2026-02-03T00:00:00+03:00",
            "UF_FLAG": "1",
            "UF_NUMBERS": ["4", 5],
            "UF_PHONES": [{"VALUE": "+49"}],
            "UF_PLACE": {"city": "Köln"},
        },
    )
    portal.rows("crm.deal").update(3, {"UF_DAY": "", "UF_NUMBERS": [], "CONTACT_ID": None})
    report, table = await run(b24, tmp_path / "x.parquet")
    types = {field.name: str(field.type) for field in table.schema}
    assert (
        types
        | {
            "ID": "int64",
            "OPPORTUNITY": "double",
            "CONTACT_ID": "int64",
            "OPENED": "string",
            "CLOSED": "string",
            "DATE_CREATE": "timestamp[us, tz=UTC]",
            "DATE_MODIFY": "string",
            "UF_DAY": "date32[day]",
            "UF_FLAG": "bool",
            "UF_NUMBERS": "list<element: int64>",
            "UF_PHONES": "list<element: string>",
            "UF_PLACE": "string",
        }
        == types
    )
    rows = table.to_pylist()
    assert [row["ID"] for row in rows] == list(range(1, 61))
    assert rows[1]["UF_DAY"] == dt.date(2026, 2, 3)
    assert rows[1]["UF_FLAG"] is True
    assert rows[1]["UF_NUMBERS"] == [4, 5]
    assert rows[1]["UF_PHONES"] == ['{"VALUE":"+49"}']
    assert rows[1]["UF_PLACE"] == '{"city":"Köln"}'
    assert rows[1]["DATE_CREATE"] == dt.datetime(2024, 3, 2, 23, 2, tzinfo=dt.UTC)
    assert (rows[2]["UF_DAY"], rows[2]["UF_NUMBERS"], rows[2]["CONTACT_ID"]) == (None, [], None)
    assert report.text_columns == ()


async def test_a_value_that_does_not_fit_makes_its_column_text_and_is_reported(
    b24: B24OAuth, portal: FakePortal, tmp_path: Path
) -> None:
    portal.rows("crm.deal").update(60, {"OPPORTUNITY": "100.00|EUR"})
    report, table = await run(b24, tmp_path / "x.parquet")
    assert report.text_columns == ("OPPORTUNITY",)
    values = table["OPPORTUNITY"].to_pylist()
    assert (values[0], values[-1]) == ("100.00", "100.00|EUR")


async def test_without_declared_fields_columns_are_text(b24: B24OAuth, tmp_path: Path) -> None:
    report, table = await run(b24, tmp_path / "x.parquet", "crm.item.list", params={"entityTypeId": 128})
    assert {str(field.type) for field in table.schema} == {"string"}
    assert table["id"].to_pylist()[:3] == ["1", "2", "3"]
    assert report.rows == 120


async def test_fields_are_asked_for_with_the_parameters_of_the_list(
    b24: B24OAuth, portal: FakePortal, tmp_path: Path
) -> None:
    asked: list[Any] = []

    def fields(params: dict[str, Any]) -> Any:
        asked.append(params)
        return {"fields": {"opportunity": {"type": "double"}, "stageId": {"type": "crm_status"}}}

    portal.method("crm.item.fields", fields)
    params = {"entityTypeId": 128, "filter": {">id": 5}, "select": ["id", "opportunity"]}
    _, table = await run(b24, tmp_path / "x.parquet", "crm.item.list", params=params)
    assert [{name: str(value) for name, value in params.items()} for params in asked] == [{"entityTypeId": "128"}]
    assert [(field.name, str(field.type)) for field in table.schema] == [("id", "string"), ("opportunity", "double")]


async def test_fields_in_another_spelling_than_the_rows(b24: B24OAuth, portal: FakePortal, tmp_path: Path) -> None:
    portal.method(
        "tasks.task.getFields", lambda _: {"fields": {"ID": {"type": "integer"}, "CREATED_DATE": {"type": "datetime"}}}
    )
    _, table = await run(b24, tmp_path / "x.parquet", "tasks.task.list")
    assert str(table.schema.field("id").type) == "int64"
    assert str(table.schema.field("createdDate").type) == "timestamp[us, tz=UTC]"


async def test_an_empty_list_has_the_declared_columns(b24: B24OAuth, tmp_path: Path) -> None:
    _, table = await run(b24, tmp_path / "x.parquet", params={"filter": {">ID": 1000}})
    assert (table.num_rows, table.schema.names) == (0, list(FIELDS))
    params = {"filter": {">ID": 1000}, "select": ["TITLE", "ID"]}
    _, table = await run(b24, tmp_path / "y.parquet", params=params)
    assert [(field.name, str(field.type)) for field in table.schema] == [("TITLE", "string"), ("ID", "int64")]


async def test_a_portal_that_does_not_respond_for_the_fields_leaves_the_rows_for_the_next_try(
    b24: B24OAuth, portal: FakePortal, tmp_path: Path
) -> None:
    portal.inject(faults.drop_before(), on="crm.deal.fields", times=None)
    with pytest.raises(NetworkError):
        await run(b24, tmp_path / "x.parquet")
    portal.clear_faults()
    report, table = await run(b24, tmp_path / "x.parquet")
    assert (report.resumed, report.rows, table.num_rows) == (60, 60, 60)


async def test_the_extra_is_named_before_anything_is_read(
    b24: B24OAuth, portal: FakePortal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "b24oauth.exporting.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ModuleNotFoundError, match=r"b24oauth\[parquet\]"):
        await run(b24, tmp_path / "x.parquet")
    assert (portal.requests, list(tmp_path.iterdir())) == ([], [])


@pytest.mark.parametrize("limits", [{"group_rows": 10}, {"group_bytes": 1000}])
def test_rows_are_written_in_groups(limits: dict[str, int]) -> None:
    from b24oauth.exporting.parquet import write_parquet

    file = io.BytesIO()
    rows = [({"ID": number}, 100) for number in range(35)]
    assert list(write_parquet(rows, [Column("ID", "integer")], file, **limits)) == [10, 20, 30]
    found = pq.ParquetFile(io.BytesIO(file.getvalue()))
    assert (found.num_row_groups, found.read()["ID"].to_pylist()) == (4, list(range(35)))


async def test_a_refusal_of_the_client_is_raised(b24: B24OAuth, portal: FakePortal, tmp_path: Path) -> None:
    portal.inject(faults.status(401, error="NO_AUTH_FOUND"), on="crm.deal.fields", times=None)
    with pytest.raises(AjaxError):
        await run(b24, tmp_path / "x.parquet")
