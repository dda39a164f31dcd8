"""The committed pictures are what their script draws."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, pages

PICTURES = sorted((DOCS / "pictures").glob("*.svg"))


@pytest.mark.slow
def test_the_script_draws_the_committed_pictures(tmp_path: Path) -> None:
    command = [sys.executable, str(DOCS / "pictures" / "draw.py"), str(tmp_path)]
    subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=True)
    assert sorted(path.name for path in tmp_path.glob("*.svg")) == [path.name for path in PICTURES]
    assert [path.name for path in PICTURES if (tmp_path / path.name).read_bytes() != path.read_bytes()] == []


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.stem)
def test_a_picture_is_used_and_has_a_title_and_colours_for_dark_pages(picture: Path) -> None:
    assert any(f"pictures/{picture.name}" in page.read_text(encoding="utf-8") for page in pages())
    root = ET.fromstring(picture.read_text(encoding="utf-8"))
    assert root.findtext("{http://www.w3.org/2000/svg}title")
    assert "prefers-color-scheme:dark" in (root.findtext("{http://www.w3.org/2000/svg}style") or "")
