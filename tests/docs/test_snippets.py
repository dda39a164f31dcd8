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
from tests.support.telemetry import Spans

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WITHOUT_SNIPPETS = {"architecture.md", "reference-differences.md", "security.md"}
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
ERROR = re.compile(r"`(\w+Error)`")
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_snippets_of_a_page_run(page: Path, portal: FakePortal, tmp_path: Path) -> None:
    issued = portal.issue()
    # A page's snippets go on where the one before ended; the guide to testing brings all names itself.
    given: dict[str, Any] = {"params": issued, "secret": portal.secret, "broker": Broker(portal)}
    names: dict[str, Any] = {} if page.name == "testing.md" else given
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert bool(blocks) == (page.name not in WITHOUT_SNIPPETS)
    for block in blocks:
        if "import pytest" in block:
            run_by_pytest(block, tmp_path)
        else:
            # A reader's program does not begin with the `__future__` imports of this one.
            code = compile(filled_in(block, issued, portal), page.name, "exec", dont_inherit=True)
            exec(code, names)


def test_the_first_program_of_the_readme_shows_a_deal(portal: FakePortal, capsys: pytest.CaptureFixture[str]) -> None:
    first = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))[0]
    exec(compile(filled_in(first, portal.issue(), portal), "README.md", "exec"), {})
    assert capsys.readouterr().out == "Deal 1\n"


def test_the_portal_stores_the_files_that_the_readme_sends(portal: FakePortal, tmp_path: Path) -> None:
    test_the_snippets_of_a_page_run(ROOT / "README.md", portal, tmp_path)
    deal = portal.rows("crm.deal").get(1)
    assert deal is not None
    stored = portal.files.get(deal["UF_CRM_FILE"])
    assert stored is not None
    assert (tmp_path / "note.txt").read_bytes() == (tmp_path / "copy.txt").read_bytes() == stored.content


def test_the_web_application_of_the_guide_makes_one_trace_down_to_the_portal(portal: FakePortal) -> None:
    blocks = BLOCK.findall((ROOT / "docs" / "observability.md").read_text(encoding="utf-8"))
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_only_errors_and_files_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    known = {*b24oauth.__all__, *errors.__all__, *b24oauth.testing.__all__, *b24oauth.apps.__all__}
    assert [name for name in ERROR.findall(text) if name not in known and not hasattr(builtins, name)] == []
    assert [link for link in LINK.findall(text) if not (page.parent / link).exists()] == []


def test_the_readme_shows_every_error_that_can_be_caught() -> None:
    shown = set(ERROR.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    exported = {name for name in errors.__all__ if name.endswith("Error")}
    # The base of all calls' errors, and one that is both of two others, are only in the tree of `b24oauth.errors`.
    assert exported - shown == {"AjaxError", "InvalidCallParamsError"}
