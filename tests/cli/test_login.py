"""`b24oauth login` with an HTTP client in the place of the browser, and the commands for the stored pairs."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import attrs
import httpx
import pytest

from b24oauth.models import B24OAuthParams
from b24oauth.stores import EncryptedStore, SQLiteStore, TokenKey
from b24oauth.testing import FakePortal
from tests.cli.conftest import START, Run

Put = Callable[[B24OAuthParams], None]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@attrs.define
class Login:
    """A login that waits for the browser."""

    process: subprocess.Popen[str]
    page: str
    back: str

    @property
    def state(self) -> str:
        return parse_qs(urlsplit(self.page).query)["state"][0]

    def end(self) -> tuple[int, str, str]:
        out, errors = self.process.communicate(timeout=60)
        return self.process.returncode, out, errors


@pytest.fixture
def begin(portal: FakePortal, environment: dict[str, str]) -> Callable[..., Login]:
    def begin(*arguments: str) -> Login:
        port = free_port()
        domain = urlsplit(portal.origin).netloc
        command = [sys.executable, "-c", START, "login", domain, "--port", str(port), "--no-browser", *arguments]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(3)]
        assert f"http://127.0.0.1:{port}/" in lines[0]
        return Login(process, lines[2].strip(), f"http://127.0.0.1:{port}/")

    return begin


def visit(url: str, **query: str) -> httpx.Response:
    """What a browser does, as soon as the command listens."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return httpx.get(f"{url}?{urlencode(query)}", trust_env=False)
        except httpx.ConnectError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_browser_that_returns_with_a_code_makes_a_stored_pair(
    portal: FakePortal, begin: Callable[..., Login], run: Run, store_path: Path
) -> None:
    login = begin("--json")
    redirect = httpx.get(login.page, trust_env=False).headers["location"]
    query = {name: values[0] for name, values in parse_qs(urlsplit(redirect).query).items()}
    assert visit(login.back, **query).status_code == 200
    status, out, errors = login.end()
    assert (status, json.loads(out)["member_id"], errors) == (0, portal.member_id, "")
    assert stat.S_IMODE(store_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store_path.parent.stat().st_mode) == 0o700
    assert run("call", "profile", "--json").returncode == 0


def test_redirects_of_something_else_do_not_end_a_login(portal: FakePortal, begin: Callable[..., Login]) -> None:
    login = begin()
    code = portal.authorization_code()
    server = urlsplit(portal.origin).netloc
    forged = login.state[:-1] + ("A" if login.state[-1] != "A" else "B")
    assert visit(login.back, code=code, state=forged, server_domain=server).status_code == 403
    assert httpx.get(login.back, trust_env=False).status_code == 404
    named = {"Host": "evil.example"}
    assert httpx.get(f"{login.back}?code=x&state={login.state}", headers=named, trust_env=False).status_code == 403
    assert len(portal.token_requests) == 0
    assert visit(login.back, code=code, state=login.state, server_domain=server).status_code == 200
    assert login.end()[0] == 0


def test_a_refusal_of_the_user_ends_the_login(begin: Callable[..., Login]) -> None:
    login = begin()
    assert visit(login.back, error="access_denied", state=login.state).status_code == 400
    status, out, errors = login.end()
    assert (status, out) == (1, "")
    assert "access_denied" in errors
    assert "Traceback" not in errors


def test_a_code_that_the_oauth_server_refuses_ends_the_login(portal: FakePortal, begin: Callable[..., Login]) -> None:
    login = begin()
    server = urlsplit(portal.origin).netloc
    assert visit(login.back, code="worn-out", state=login.state, server_domain=server).status_code == 400
    status, _, errors = login.end()
    assert status == 1
    assert "refused the authorization code" in errors
    assert "worn-out" not in errors


def test_a_browser_that_never_returns_is_not_waited_for_forever(begin: Callable[..., Login]) -> None:
    status, out, errors = begin("--timeout", "0.2").end()
    assert (status, out) == (1, "")
    assert "did not return within 0.2 s" in errors


def test_ctrl_c_ends_a_waiting_login(begin: Callable[..., Login]) -> None:
    login = begin()
    assert visit(login.back, state="x").status_code == 403
    login.process.send_signal(signal.SIGINT)
    assert login.end() == (130, "", "")


@pytest.mark.parametrize("form", ["code", "address"])
def test_what_the_browser_shows_can_be_pasted(
    form: str, portal: FakePortal, begin: Callable[..., Login], run: Run
) -> None:
    login = begin("--paste")
    code, server = portal.authorization_code(), urlsplit(portal.origin).netloc
    address = f"{login.back}?{urlencode({'code': code, 'state': login.state, 'server_domain': server})}"
    out, errors = login.process.communicate(code if form == "code" else address, timeout=60)
    assert login.process.returncode == 0, errors
    assert portal.member_id in out
    assert run("tokens", "show").returncode == 0


def test_a_pasted_address_of_another_authorization_is_refused(portal: FakePortal, begin: Callable[..., Login]) -> None:
    login = begin("--paste")
    _, errors = login.process.communicate(f"{login.back}?code=x&state=other", timeout=60)
    assert login.process.returncode == 2
    assert "another authorization" in errors
    assert len(portal.token_requests) == 0


def test_a_domain_that_is_no_host_is_refused(run: Run) -> None:
    done = run("login", "https://x.bitrix24.com/path")
    assert done.returncode == 1
    assert "domain must be the host of a portal" in done.stderr


def test_tokens_are_never_shown(portal: FakePortal, put: Put, run: Run) -> None:
    pair = portal.issue()
    put(pair)
    secrets = [pair.access_token, pair.refresh_token, portal.application_token, portal.secret.client_secret]
    for arguments in (["list"], ["list", "--json"], ["show"], ["show", "--json"], ["refresh"]):
        done = run("tokens", *arguments)
        assert done.returncode == 0, done.stderr
        assert not any(secret in done.stdout + done.stderr for secret in secrets)
    assert json.loads(run("tokens", "list", "--json").stdout)[0]["member_id"] == portal.member_id
    assert len(portal.token_requests) == 1


def test_one_of_several_portals_must_be_chosen(portal: FakePortal, put: Put, run: Run) -> None:
    put(portal.issue())
    put(attrs.evolve(portal.issue(), member_id="other", client_endpoint="https://other.example/rest/"))
    done = run("call", "profile")
    assert (done.returncode, done.stdout) == (2, "")
    assert "other.example (other)" in done.stderr
    assert portal.member_id in done.stderr
    for name in (portal.member_id, urlsplit(portal.origin).netloc):
        assert run("call", "profile", "--portal", name).returncode == 0
    done = run("tokens", "show", "--portal", "third.example")
    assert done.returncode == 2
    assert "third.example is not among the stored portals" in done.stderr


def test_a_portal_is_removed_with_all_of_its_pairs(portal: FakePortal, put: Put, run: Run) -> None:
    put(portal.issue())
    assert json.loads(run("tokens", "remove", portal.member_id, "--json").stdout)["removed"] == 1
    assert run("tokens", "list", "--json").stdout == "[]\n"
    assert run("tokens", "remove", portal.member_id).returncode == 2


def test_the_store_is_encrypted_with_the_keys_of_the_environment(
    portal: FakePortal, put: Put, run: Run, store_path: Path
) -> None:
    put(portal.issue())
    key = EncryptedStore.new_key()
    assert "b24oauth tokens encrypt" in run("call", "profile", B24OAUTH_KEYS=key).stderr
    assert json.loads(run("tokens", "encrypt", "--json", B24OAUTH_KEYS=key).stdout) == {"encrypted": 1}
    assert run("call", "profile", B24OAUTH_KEYS=key).returncode == 0

    async def stored() -> str:
        async with SQLiteStore(store_path) as store:
            found = await store.load(TokenKey(portal.secret.client_id, portal.member_id))
            return "" if found is None else found.params.access_token

    assert re.match("fernet:1:", asyncio.run(stored()))
