"""Every Python snippet of the README and the guides runs, against a fake portal in the place of the network."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

import b24oauth.wire
from b24oauth import B24OAuth, B24OAuthParams
from b24oauth.testing import FakePortal

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture
def portal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakePortal:
    """All clients that a snippet makes talk to this portal; files it writes go to a directory of its own."""
    portal = FakePortal(clock=time.time, origin="https://your-domain.bitrix24.com")

    class Connected(httpx.AsyncClient):
        def __init__(self, **options: Any) -> None:
            options.setdefault("transport", portal.transport())
            super().__init__(**options)

    monkeypatch.setattr(b24oauth.wire.httpx, "AsyncClient", Connected)
    monkeypatch.chdir(tmp_path)
    return portal


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_snippets_run(page: Path, portal: FakePortal) -> None:
    issued = portal.issue()
    given = {"access_token": issued.access_token, "refresh_token": issued.refresh_token, "member_id": issued.member_id}
    names: dict[str, Any] = {"__name__": "snippet", "params": issued, "secret": portal.secret}
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    for block in blocks:
        # What a reader fills in himself.
        code = re.sub(
            r'(access_token|refresh_token|member_id)="…"', lambda found: f'{found[1]}="{given[found[1]]}"', block
        )
        code = code.replace('client_id="local.…"', f'client_id="{portal.secret.client_id}"')
        code = code.replace('client_secret="…"', f'client_secret="{portal.secret.client_secret}"')
        code = code.replace("expires=1745997853", f"expires={issued.expires}")
        if page.name == "testing.md":
            names = {"__name__": "snippet"}
        exec(compile(code, f"{page.name}", "exec"), names)
    assert blocks or page.name in ("security.md", "reference-differences.md")


def test_the_snippets_names_are_public() -> None:
    assert {B24OAuth.__name__, B24OAuthParams.__name__} <= set(b24oauth.__all__)
