"""Exports to a stream."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from b24oauth import B24OAuth, ConfigurationError
from b24oauth.exporting import ExportRequest, export_to_stream
from b24oauth.testing import FakePortal
from tests.support.clients import connected, fake_portal

pytestmark = pytest.mark.anyio


@pytest.fixture
def portal() -> FakePortal:
    return fake_portal(rows={"crm.deal": 1200})


@pytest.fixture
async def b24(portal: FakePortal) -> AsyncIterator[B24OAuth]:
    async with connected(portal) as b24:
        yield b24


async def run(b24: B24OAuth, stream: Any, **options: Any) -> int:
    return await export_to_stream(b24, ExportRequest(method="crm.deal.list", to="-", **options), stream)


async def test_rows_are_lines_of_the_stream(b24: B24OAuth) -> None:
    stream = io.BytesIO()
    assert await run(b24, stream, format="jsonl") == 1200
    assert [int(json.loads(line)["ID"]) for line in stream.getvalue().splitlines()] == list(range(1, 1201))


async def test_csv_has_the_columns_of_the_first_page(b24: B24OAuth) -> None:
    stream = io.BytesIO()
    await run(b24, stream, format="csv", limit=70, params={"select": ["ID", "TITLE"]})
    rows = list(csv.DictReader(io.StringIO(stream.getvalue().decode(), newline="")))
    assert (len(rows), rows[69]) == (70, {"ID": "70", "TITLE": "Deal 70"})


async def test_a_column_that_the_header_does_not_have_is_refused(b24: B24OAuth, portal: FakePortal) -> None:
    portal.rows("crm.deal").update(1100, {"UF_NEW": "x"})
    with pytest.raises(ConfigurationError, match="UF_NEW"):
        await run(b24, io.BytesIO(), format="csv")


@pytest.mark.parametrize("options", [{"format": "parquet"}, {"format": "jsonl", "since": "last"}])
async def test_what_needs_a_file_is_refused(b24: B24OAuth, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="needs a file"):
        await run(b24, io.BytesIO(), **options)


async def test_a_slow_reader_slows_the_walk_down_and_not_the_loop(b24: B24OAuth, portal: FakePortal) -> None:
    portal.rows("crm.deal", ids=range(1, 100_001))
    written = threading.Event()

    class Slow(io.BytesIO):
        def write(self, data: Any) -> int:
            written.wait(0.002)
            return super().write(data)

    requested = 0

    def show(progress: Any) -> None:
        nonlocal requested
        requested = max(requested, portal.executed["crm.deal.list"] * 50 - progress.rows)

    request = ExportRequest(method="crm.deal.list", to="-", format="jsonl", limit=20_000)
    assert await export_to_stream(b24, request, Slow(), on_progress=show) == 20_000
    # What a walk may hold is bounded: 100 pages for each of 10 requests, and those under way.
    assert requested <= 60_000
