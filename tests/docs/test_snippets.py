"""Every Python snippet of the README and the guides runs, against a fake portal in the place of the network."""

from __future__ import annotations

import asyncio
import builtins
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

import b24oauth
import b24oauth.apps
import b24oauth.testing
from b24oauth import B24OAuthParams, errors
from b24oauth.models import HandlerRefreshAuth
from b24oauth.testing import FakePortal
from tests.docs.pages import DOCS, name_of, pages, snippets
from tests.support.telemetry import Spans

PAGES = pages()
# Their programs are run by `test_recipes`, and against `b24oauth portal` by `test_first_programs`.
RUN_ELSEWHERE = {"README.md", "quickstart.md", *(name_of(page) for page in PAGES if page.parent.name == "recipes")}
WITH_SNIPPETS = [page for page in PAGES if name_of(page) not in RUN_ELSEWHERE and snippets(page)]
WITHOUT_SNIPPETS = {
    "architecture.md", "changelog.md", "compatibility.md", "contributing.md", "migrating/index.md",
    "migrating/which-when.md", "recipes/index.md", "reference-differences.md", "security.md",
}  # fmt: skip
ERROR = re.compile(r"`((?!Bitrix)\w+Error)`")  # those of b24pysdk begin with Bitrix
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


class Broker:
    """The token broker of whoever reads the README."""

    def __init__(self, portal: FakePortal) -> None:
        self._portal = portal

    async def fetch(self) -> HandlerRefreshAuth:
        pair = self._portal.issue()
        return {"access_token": pair.access_token, "refresh_token": pair.refresh_token, "expires_in": 3600}


@pytest.fixture
def portal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakePortal:
    """All clients that a snippet makes talk to this portal; files it writes go to a directory of its own."""
    portal = FakePortal(clock=time.time, origin="https://your-domain.bitrix24.com")

    monkeypatch.setattr(httpx, "AsyncHTTPTransport", lambda **_: portal.transport())
    for package in ("httpx2", "msgspec", "orjson"):
        monkeypatch.setitem(sys.modules, package, None)  # with which another transport is chosen, past this portal
    monkeypatch.chdir(tmp_path)
    return portal


def filled_in(block: str, issued: B24OAuthParams, portal: FakePortal) -> str:
    """The snippet with what a reader puts in the place of the dots."""
    values = {
        "https://your-domain.bitrix24.com/rest/1/…/": portal.webhook(),
        'access_token="…"': f'access_token="{issued.access_token}"',
        'refresh_token="…"': f'refresh_token="{issued.refresh_token}"',
        'member_id="…"': f'member_id="{issued.member_id}"',
        'client_id="local.…"': f'client_id="{portal.secret.client_id}"',
        'client_secret="…"': f'client_secret="{portal.secret.client_secret}"',
        "expires=1745997853": f"expires={issued.expires}",
    }
    for dots, value in values.items():
        block = block.replace(dots, value)
    return block


def run_by_pytest(block: str, folder: Path) -> None:
    """Runs a snippet that is a test module, as the page tells its readers to."""
    (folder / "conftest.py").write_text('pytest_plugins = ["b24oauth.testing.plugin"]\n', encoding="utf-8")
    (folder / "test_of_the_page.py").write_text(block, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}", str(folder)]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 passed" in run.stdout


@pytest.mark.parametrize("page", WITH_SNIPPETS, ids=name_of)
def test_the_snippets_of_a_page_run(page: Path, portal: FakePortal, tmp_path: Path) -> None:
    issued = portal.issue()
    # A page's snippets go on where the one before ended; the page on testing brings all names itself.
    given: dict[str, Any] = {"params": issued, "secret": portal.secret, "broker": Broker(portal)}
    names: dict[str, Any] = {} if page.name == "testing.md" else given
    for block in snippets(page):
        if "import pytest" in block:
            run_by_pytest(block, tmp_path)
        else:
            # A reader's program does not begin with the `__future__` imports of this one.
            code = compile(filled_in(block, issued, portal), page.name, "exec", dont_inherit=True)
            exec(code, names)


def test_only_these_pages_have_no_snippet() -> None:
    without = {name_of(page) for page in PAGES if not snippets(page)}
    assert {name for name in without if not name.startswith(("api/", "decisions/"))} == WITHOUT_SNIPPETS


def test_the_portal_stores_the_files_that_the_page_on_files_sends(portal: FakePortal, tmp_path: Path) -> None:
    test_the_snippets_of_a_page_run(DOCS / "files.md", portal, tmp_path)
    deal, item = portal.rows("crm.deal").get(1), portal.rows("crm.item").get(1)
    assert deal is not None
    assert item is not None
    stored = portal.files.get(deal["UF_CRM_FILE"])
    assert stored is not None
    assert stored.content == (tmp_path / "report.pdf").read_bytes()
    copies = [(tmp_path / f"copy of {number}").read_bytes() for number in item["ufCrmFiles"]]
    assert sorted(copies) == [b"%PDF-1.7", b"content"]


def test_the_web_application_of_the_guide_makes_one_trace_down_to_the_portal(portal: FakePortal) -> None:
    blocks = snippets(DOCS / "observability.md")
    last = next(number for number, block in enumerate(blocks) if "FastAPI(" in block)
    names: dict[str, Any] = {"params": portal.issue(), "secret": portal.secret}
    for block in blocks[: last + 1]:
        exec(compile(block, "observability.md", "exec", dont_inherit=True), names)
    spans, web = Spans(), names["web"]
    names["tracers"].add_span_processor(spans)

    async def visit() -> None:
        browser = httpx.AsyncClient(transport=httpx.ASGITransport(web), base_url="http://app.example")
        async with web.router.lifespan_context(web), browser:
            assert (await browser.get("/deals/1")).json()["TITLE"] == "Deal 1"

    asyncio.run(visit())
    names["tracers"].shutdown()
    assert spans.one("POST").context.trace_id == spans.one("GET /deals/{number}").context.trace_id


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_names_only_errors_and_files_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    known = {*b24oauth.__all__, *errors.__all__, *b24oauth.testing.__all__, *b24oauth.apps.__all__}
    assert [name for name in ERROR.findall(text) if name not in known and not hasattr(builtins, name)] == []
    assert [link for link in LINK.findall(text) if not (page.parent / link).exists()] == []


def test_the_page_on_errors_says_what_to_do_about_each_of_them() -> None:
    table = (DOCS / "errors.md").read_text(encoding="utf-8").partition("## What to do")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in ERROR.findall(row[1])}
    assert told == {name for name in errors.__all__ if name.endswith("Error")} - {"SdkError"}
    assert all(row[3].strip() for row in rows)
