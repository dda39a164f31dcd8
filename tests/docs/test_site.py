"""The site builds without warnings, its links lead somewhere, and what it says of the API is complete."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import FunctionType
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import DOCS, ROOT, name_of, pages
from tests.support.public_api import public_modules

pytestmark = pytest.mark.slow
BASE = "https://b24oauth.github.io/b24oauth/"


class Document(HTMLParser):
    """The anchors, links and embedded files of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.embedded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := given.get(name))}
        if tag == "a" and (href := given.get("href")):
            self.links.append(href)
        is_loaded = tag in {"img", "script"} or (tag == "link" and given.get("rel") in {"stylesheet", "preload"})
        if is_loaded and (source := given.get("src") or given.get("href")):
            self.embedded.append(source)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site: that of `nox -s site`, or one that is built now."""
    if built := os.environ.get("B24OAUTH_SITE"):
        return Path(built)
    pytest.importorskip("sphinx", reason="the site needs the dependency group docs")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", str(DOCS), str(out)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return out


@pytest.fixture(scope="module")
def documents(site: Path) -> dict[Path, Document]:
    return {path: Document(path) for path in site.rglob("*.html") if "_static" not in path.parts}


@pytest.fixture(scope="module")
def index(site: Path) -> dict[str, Any]:
    text = (site / "searchindex.js").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    return found


def test_internal_links_and_anchors_exist(site: Path, documents: dict[Path, Document]) -> None:
    broken: list[str] = []
    for page, document in documents.items():
        for link in document.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            anchors = documents[target].anchors if target in documents else set()
            if not target.exists() or (parts.fragment and target in documents and parts.fragment not in anchors):
                broken.append(f"{page.relative_to(site)}: {link}")
    assert broken == []


def test_pages_load_nothing_from_other_hosts(documents: dict[Path, Document]) -> None:
    loaded = {source for document in documents.values() for source in document.embedded}
    assert [source for source in loaded if urlsplit(source).netloc] == []


def test_the_search_finds_every_public_class_and_function(index: dict[str, Any]) -> None:
    found = {
        f"{prefix}.{entry[-1]}" if prefix else entry[-1]
        for prefix, names in index["objects"].items()
        for entry in names
    }
    assert "b24oauth.errors.AmbiguousResultError" in found
    short = {name.rpartition(".")[2] for name in found}
    for module in public_modules():
        exported = importlib.import_module(module)
        objects = [name for name in exported.__all__ if isinstance(getattr(exported, name), (type, FunctionType))]
        assert [name for name in objects if name not in short and name != "MemoryTokenStore"] == [], module


def test_the_search_finds_words_of_the_guides(index: dict[str, Any]) -> None:
    titles = {title.lower() for title in index["alltitles"]}
    assert {"errors and retries", "what to do", "celery", "five-minute start"} <= titles


def test_the_readme_links_to_pages_and_anchors_of_the_site(site: Path, documents: dict[Path, Document]) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [part.partition(")")[0] for part in text.split(f"]({BASE}")[1:]]
    assert len(links) > 10
    for link in links:
        path, _, anchor = link.partition("#")
        assert site / path in documents, link
        assert not anchor or anchor in documents[site / path].anchors, link


def test_llms_txt_lists_every_page_as_markdown(site: Path) -> None:
    text = (site / "llms.txt").read_text(encoding="utf-8")
    assert text.startswith("# b24oauth\n\n> ")
    links = [part.partition(")")[0] for part in text.split(f"]({BASE}")[1:]]
    assert sorted(links) == sorted(name_of(page) for page in pages() if page.name != "README.md" or page.parent != ROOT)
    assert [link for link in links if not (site / link).is_file()] == []


def test_llms_full_txt_has_the_guides_and_the_signatures(site: Path) -> None:
    text = (site / "llms-full.txt").read_text(encoding="utf-8")
    for page in ("errors.md", "recipes/celery.md", "applications.md"):
        assert (DOCS / page).read_text(encoding="utf-8").splitlines()[-1] in text
    assert "b24oauth.B24OAuth.call(method, params=None" in text
    assert "toctree" not in text
