"""The examples run as their readers start them: in processes of their own, against a fake portal."""

from __future__ import annotations

import ast
import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from b24oauth.testing import FakePortal
from b24oauth.testing.applications import event_body, page_request, robot_body
from tests.support.servers import Valkey, free_port

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))
APPLICATIONS = [ROOT / "docs" / "examples" / f"{name}.py" for name in ("fastapi_app", "aiohttp_app", "oauth_login")]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
KEY = "a long random text"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {}


class Application:
    """An example that runs, and the portal that speaks to it."""

    def __init__(self, portal: FakePortal, url: str, http: aiohttp.ClientSession) -> None:
        self.portal, self.url, self.http = portal, url, http
        self.called: list[tuple[str, dict[str, Any]]] = []

    def method(self, name: str, result: Any = True) -> None:
        def answer(params: dict[str, Any]) -> Any:
            self.called.append((name, params))
            return result

        self.portal.method(name, answer)

    async def send(self, name: str, data: Any = None) -> None:
        async with self.http.post(f"{self.url}/", data=event_body(self.portal, name, data), headers=FORM) as response:
            assert response.status == 200

    async def page(self, path: str = "/", **fields: Any) -> str:
        request = page_request(self.portal, user_id=7, **fields)
        url = URL(f"{self.url}{path}?{request.query}", encoded=True)
        async with self.http.post(url, data=request.body, headers=FORM) as response:
            assert response.status == 200
            return await response.text()


@asynccontextmanager
async def running(
    *commands: list[str], tmp_path: Path, path: str = "/bitrix24", **settings: str
) -> AsyncIterator[Application]:
    """Runs the commands; the first one is the web server, at the port PORT."""
    portal = FakePortal(clock=time.time, rows={"crm.deal": 20, "crm.contact": 20, "tasks.task": 20})
    async with portal.serve(), aiohttp.ClientSession() as http:
        port = free_port()
        url = f"http://127.0.0.1:{port}{path}"
        here = Application(portal, url, http)
        here.method("event.get", [])
        here.method("placement.get", [])
        here.method("event.bind")
        here.method("placement.bind")
        env = {
            **os.environ, "PYTHONPATH": str(ROOT), "PORT": str(port), "APP_URL": url, "SESSION_KEY": KEY,
            "B24OAUTH_CLIENT_ID": portal.secret.client_id, "B24OAUTH_CLIENT_SECRET": portal.secret.client_secret,
            "B24OAUTH_STORE": str(tmp_path / "portals.db"),
            "B24OAUTH_TRUSTED_HOSTS": ",".join(portal.trusted_oauth_hosts),
            **settings,
        }  # fmt: skip
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable,
                *(part.replace("PORT", str(port)) for part in command),
                cwd=tmp_path,
                env=env,
                start_new_session=True,
            )
            for command in commands
        ]
        try:
            await until(lambda: answers(http, f"http://127.0.0.1:{port}/"))
            yield here
            server = processes[0]
            server.terminate()
            async with asyncio.timeout(30):
                assert await server.wait() in (0, -signal.SIGTERM)
        finally:
            # Workers of queues have children, and may be killed at any time.
            for process in processes:
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()


async def answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url):
            return True
    except aiohttp.ClientError:
        return False


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while True:
            holds = condition()
            if holds is True or (not isinstance(holds, bool) and await holds):
                return
            await asyncio.sleep(0.05)


def served(module: str) -> list[str]:
    return ["-m", "uvicorn", f"docs.examples.{module}:web", "--port", "PORT", "--log-level", "warning"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_no_example_is_left_out(path: Path) -> None:
    module = Path(__file__).read_text(encoding="utf-8")
    elsewhere = "".join(other.read_text(encoding="utf-8") for other in ROOT.glob("tests/**/test_*.py"))
    assert path.stem in module or path.stem in elsewhere


@pytest.mark.parametrize("path", APPLICATIONS, ids=lambda path: path.stem)
def test_an_application_has_twice_as_much_business_as_plumbing(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    business, plumbing = 0, 0
    for node in ast.parse(text).body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(one.lineno for one in decorators)])
        lines = [line for line in text.splitlines()[first - 1 : node.end_lineno] if line.strip()]
        if decorators:
            business += len(lines)
        else:
            plumbing += len(lines)
    assert business >= 2 * plumbing


async def test_the_example_with_fastapi(tmp_path: Path) -> None:
    async with running(served("fastapi_app"), tmp_path=tmp_path) as here:
        await here.send("ONAPPINSTALL", {"VERSION": "1"})
        await until(lambda: "placement.bind" in [name for name, _ in here.called])
        bound = {params["event"] for name, params in here.called if name == "event.bind"}
        assert bound == {"ONAPPINSTALL", "ONAPPUNINSTALL", "ONCRMDEALADD"}
        deals, tasks = here.portal.rows("crm.deal"), here.portal.rows("tasks.task")
        large = [number for number in deals.ids if float((deals.get(number) or {})["OPPORTUNITY"]) >= 1000]
        before = len(tasks)
        for number in range(1, 21):
            await here.send("ONCRMDEALADD", {"FIELDS": {"ID": number}})
        await until(lambda: len(tasks) == before + len(large))
        page = await here.page()
        assert page.count("<tr>") == len(large) > 0
        session = page.partition("Bearer ")[2].partition("'")[0]
        api = here.url.removesuffix("/bitrix24") + "/api/total"
        async with here.http.get(api, headers={"Authorization": f"Bearer {session}"}) as response:
            assert (await response.json())["total"] == sum(
                float((deals.get(number) or {})["OPPORTUNITY"]) for number in large
            )
        async with here.http.get(api) as response:
            assert response.status == 401


async def test_the_example_with_aiohttp(tmp_path: Path) -> None:
    async with running([str(ROOT / "docs/examples/aiohttp_app.py")], tmp_path=tmp_path) as here:
        here.method("bizproc.robot.list", [])
        here.method("bizproc.robot.add")
        here.method("bizproc.event.send")
        await here.send("ONAPPINSTALL", {"VERSION": "1"})
        await until(lambda: "bizproc.robot.add" in [name for name, _ in here.called])
        deals = here.portal.rows("crm.deal")
        robot = robot_body(here.portal, "share_of_deals", {"customer": (deals.get(1) or {})["CONTACT_ID"]}, waits=True)
        async with here.http.post(here.url, data=robot, headers=FORM) as response:
            assert response.status == 200
        await until(lambda: "bizproc.event.send" in [name for name, _ in here.called])
        (sent,) = [params for name, params in here.called if name == "bizproc.event.send"]
        assert 0 < float(sent["RETURN_VALUES"]["share"]) <= 100
        page = unescape(await here.page("/tab", PLACEMENT="CRM_DEAL_DETAIL_TAB", PLACEMENT_OPTIONS='{"ID": "3"}'))
        assert (deals.get(3) or {})["TITLE"] in page


async def test_the_example_of_a_login(tmp_path: Path) -> None:
    async with running(served("oauth_login"), tmp_path=tmp_path, path="") as here:
        login = URL(f"{here.url}/login").with_query(domain="portal.example")
        async with here.http.get(login, allow_redirects=False) as response:
            page = URL(response.headers["Location"])
            cookies = {name: morsel.value for name, morsel in response.cookies.items()}
        assert (page.host, page.path) == ("portal.example", "/oauth/authorize/")
        async with here.http.get(URL(f"{here.url}/login").with_query(domain="x/y")) as response:
            assert response.status == 400
        code = here.portal.authorization_code(7)
        host = here.portal.origin.removeprefix("http://")
        back = URL(f"{here.url}/returned").with_query(
            code=code, state=page.query["state"], domain=host, member_id=here.portal.member_id, scope="crm",
            server_domain=host,
        )  # fmt: skip
        async with aiohttp.ClientSession() as other, other.get(back) as response:
            assert response.status == 403
        async with aiohttp.ClientSession(cookies=cookies) as same:
            async with same.get(back) as response:
                assert "Hello, " in await response.text()
            async with same.get(back) as response:
                assert response.status == 403


@pytest.mark.parametrize("example", ["taskiq_app", "faststream_app"])
async def test_the_examples_with_a_queue(example: str, tmp_path: Path, valkey_server: Valkey) -> None:
    module = f"docs.examples.{example}"
    worker = {
        "taskiq_app": ["-m", "taskiq", "worker", f"{module}:broker", "--workers", "1"],
        "faststream_app": ["-m", "faststream", "run", f"{module}:worker"],
    }[example]
    async with running(served(example), worker, tmp_path=tmp_path, REDIS_URL=valkey_server.url) as here:
        await here.send("ONAPPINSTALL", {"VERSION": "1"})
        deals, tasks = here.portal.rows("crm.deal"), here.portal.rows("tasks.task")
        if example == "taskiq_app":
            before = len(tasks)
            for number in (3, 8):
                deals.update(number, {"STAGE_ID": "WON"})
            for number in (3, 8, 9):
                await here.send("ONCRMDEALUPDATE", {"FIELDS": {"ID": number}})
            await until(lambda: len(tasks) == before + 2)
        else:
            for number in (1, 2, 3):
                await here.send("ONCRMDEALADD", {"FIELDS": {"ID": number}})
            await until(lambda: all("Seen: " in str(deals.get(number)) for number in (1, 2, 3)))
