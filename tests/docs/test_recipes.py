"""Recipes run as their readers run them: in processes of their own, against a fake portal over loopback."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from b24oauth.stores import SQLiteStore, TokenKey
from b24oauth.testing import FakePortal
from tests.docs.pages import DOCS, ROOT, snippets
from tests.support.servers import Valkey

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
# A portal over plain http, which no recipe mentions.
PORTAL = """\
import functools
import os

from b24oauth import B24Hook, B24OAuth

HOSTS = [os.environ["PORTAL"]]
B24OAuth.__init__ = functools.partialmethod(B24OAuth.__init__, trusted_oauth_hosts=HOSTS)
B24Hook.__init__ = functools.partialmethod(B24Hook.__init__, trusted_hosts=HOSTS)
URL = os.environ["WEBHOOK"]
"""
DRIVERS = {
    "fastapi": """\
import asyncio

import httpx
from recipe import web


async def main():
    async with web.router.lifespan_context(web):
        transport = httpx.ASGITransport(web)
        async with httpx.AsyncClient(transport=transport, base_url="http://web") as http:
            assert (await http.get("/deals/3")).json()["TITLE"] == "Deal 3"
            assert (await http.get("/deals/404")).status_code == 404


asyncio.run(main())
""",
    "aiohttp": """\
import asyncio

from aiohttp.test_utils import TestClient, TestServer
from recipe import make_app


async def main():
    async with TestClient(TestServer(make_app())) as http:
        async with http.get("/deals/3") as response:
            assert (await response.json())["TITLE"] == "Deal 3"
        async with http.get("/deals/404") as response:
            assert response.status == 404


asyncio.run(main())
""",
    "wsgi": """\
import json
import os
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings

settings.configure()

import recipe
from django.http import Http404

with ThreadPoolExecutor(8) as threads:
    responses = list(threads.map(lambda number: recipe.deal(None, number), range(1, 17)))
    assert [json.loads(response.content)["TITLE"] for response in responses] == [f"Deal {n}" for n in range(1, 17)]
try:
    recipe.deal(None, 404)
except Http404:
    pass
else:
    raise AssertionError("a missing deal was found")
assert len(recipe.bitrix24.rows(os.environ["B24_PORTAL"], "crm.deal.list", {"select": ["ID"]})) == 120
""",
    "dlt": """\
import duckdb
import recipe

for _ in range(2):
    recipe.load()
with duckdb.connect("bitrix24.duckdb") as database:
    assert database.execute("select count(*), count(distinct id) from crm.deals").fetchone() == (120, 120)
""",
}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {}


@asynccontextmanager
async def portal_for(page: str, folder: Path, **settings: str) -> AsyncIterator[tuple[FakePortal, dict[str, str]]]:
    """A portal with a stored pair, and the environment for the recipe of a page, the module `recipe` in a folder."""
    (folder / "portal_of_the_test.py").write_text(PORTAL, encoding="utf-8")
    code = "\n".join(["from portal_of_the_test import URL", *snippets(DOCS / "recipes" / f"{page}.md")])
    (folder / "recipe.py").write_text(code, encoding="utf-8")
    portal = FakePortal(clock=time.time, rows={"crm.deal": 120})
    async with portal.serve(), SQLiteStore(folder / "tokens.db") as store:
        await store.save(TokenKey(portal.secret.client_id, portal.member_id), portal.issue(expired=True), expected=None)
        yield (
            portal,
            {
                **os.environ,
                "B24_CLIENT_ID": portal.secret.client_id,
                "B24_CLIENT_SECRET": portal.secret.client_secret,
                "B24_PORTAL": portal.member_id,
                "PORTAL": portal.origin.removeprefix("http://"),
                "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
                "WEBHOOK": portal.webhook(),
                # dlt and IPython write to the home directory and report home.
                "HOME": str(folder),
                "DLT_DATA_DIR": str(folder / "dlt"),
                "RUNTIME__DLTHUB_TELEMETRY": "false",
                **settings,
            },
        )


async def ends_well(folder: Path, env: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "driver.py", cwd=folder, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(120):
            out, error = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, error.decode()
    return out.decode()


@pytest.mark.parametrize("page", DRIVERS)
async def test_a_recipe_runs_and_refreshes_once(page: str, tmp_path: Path) -> None:
    async with portal_for(page, tmp_path) as (portal, env):
        (tmp_path / "driver.py").write_text(DRIVERS[page], encoding="utf-8")
        await ends_well(tmp_path, env)
        assert len(portal.token_requests) == 1


async def test_the_recipe_for_celery_runs_in_two_processes_that_refresh_once(
    tmp_path: Path, valkey_server: Valkey
) -> None:
    from celery import Celery

    broker = valkey_server.url
    async with portal_for("celery", tmp_path, CELERY_BROKER=broker) as (portal, env):
        command = ["-m", "celery", "-A", "recipe", "worker", "--concurrency", "2", "--loglevel", "warning"]
        worker = await asyncio.create_subprocess_exec(
            sys.executable, *command, cwd=tmp_path, env=env, start_new_session=True, stderr=asyncio.subprocess.PIPE
        )
        try:
            queue = Celery(broker=broker)
            numbers = range(1, 21)
            for number in numbers:
                arguments = [portal.member_id, number, f"Renamed {number}"]
                await asyncio.to_thread(queue.send_task, "recipe.rename_deal", arguments)
            deals = portal.rows("crm.deal")
            async with asyncio.timeout(60):
                while any(  # noqa: ASYNC110 - the worker is another process
                    (deals.get(number) or {})["TITLE"] != f"Renamed {number}" for number in numbers
                ):
                    await asyncio.sleep(0.05)
            assert len(portal.token_requests) == 1
            worker.terminate()
            async with asyncio.timeout(30):
                _, error = await worker.communicate()
            assert worker.returncode == 0, error.decode()
            await asyncio.to_thread(queue.close)
        finally:
            if worker.returncode is None:
                os.killpg(worker.pid, signal.SIGKILL)
                await worker.wait()


async def test_the_recipe_for_jupyter_runs_cell_by_cell_in_one_loop(tmp_path: Path) -> None:
    async with portal_for("jupyter", tmp_path) as (_, env):
        cells = ["from portal_of_the_test import URL", *snippets(DOCS / "recipes" / "jupyter.md")]
        driver = f"""\
import asyncio

from IPython.core.interactiveshell import InteractiveShell


async def main():
    shell = InteractiveShell.instance()
    results = []
    for cell in {cells!r}:
        done = await shell.run_cell_async(cell, transformed_cell=shell.transform_cell(cell))
        done.raise_error()
        results.append(done.result)
    assert results == [None, "Boris", 120, None], results


asyncio.run(main())
"""
        (tmp_path / "driver.py").write_text(driver, encoding="utf-8")
        await ends_well(tmp_path, env)


def test_the_recipe_for_airflow_is_compiled_only_because_airflow_is_too_large_for_the_tests() -> None:
    (code,) = snippets(DOCS / "recipes" / "airflow.md")
    compile(code, "airflow.md", "exec", dont_inherit=True)
    ours = [line.split() for line in code.splitlines() if line.startswith("from b24oauth")]
    for _, module, _, *names in ours:
        found = importlib.import_module(module)
        assert [name for name in names if not hasattr(found, name.rstrip(","))] == []


def test_no_recipe_is_left_out() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    left = [page.stem for page in (DOCS / "recipes").glob("*.md") if f'"{page.stem}' not in here]
    assert left in ([], ["index"])
