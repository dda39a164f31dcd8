"""Final files on a file system that takes a part of what is written."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest

from b24oauth.exporting import ExportRequest, export, finishing
from tests.support.clients import connected, fake_portal

pytestmark = pytest.mark.anyio


class Short(io.FileIO):
    def write(self, data: Any) -> int:
        given = bytes(data)
        return super().write(given[: max(1, len(given) - 5)])


def opened(path: Path) -> Any:
    return Short(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
async def test_a_short_write_truncates_no_final_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    async with connected(fake_portal(rows={"crm.deal": 100})) as b24:
        await export(b24, ExportRequest(method="crm.deal.list", to=tmp_path / f"whole-{name}"))
        monkeypatch.setattr(finishing, "open_private", opened)
        await export(b24, ExportRequest(method="crm.deal.list", to=tmp_path / name))
    assert (tmp_path / name).read_bytes() == (tmp_path / f"whole-{name}").read_bytes()
