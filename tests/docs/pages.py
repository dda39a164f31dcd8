"""The pages of the documentation, and the programs in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def pages() -> list[Path]:
    """The README and every page of the site."""
    written = (page for page in DOCS.glob("**/*.md") if not page.relative_to(DOCS).parts[0].startswith("_"))
    return [ROOT / "README.md", *sorted(written)]


def name_of(page: Path) -> str:
    """The name of a page from the root of the site."""
    return page.relative_to(DOCS).as_posix() if page.is_relative_to(DOCS) else page.name


def snippets(page: Path) -> list[str]:
    """The Python programs of a page, in order."""
    return _BLOCK.findall(page.read_text(encoding="utf-8"))
