"""`b24oauth doctor`: what is wrong is named with its remedy."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import attrs
import pytest

from b24oauth.cli import doctor, main
from b24oauth.models import B24OAuthParams
from b24oauth.testing import FakePortal
from tests.cli.conftest import Run

Put = Callable[[B24OAuthParams], None]


def found(run: Run, **changes: str | None) -> tuple[int, dict[str, dict[str, str]]]:
    done = run("doctor", "--json", **changes)
    assert "Traceback" not in done.stderr
    return done.returncode, {(line := json.loads(text))["check"]: line for text in done.stdout.splitlines()}


def test_all_is_well(portal: FakePortal, put: Put, run: Run) -> None:
    pair = portal.issue()
    put(pair)
    status, checks = found(run)
    assert (status, {check["status"] for check in checks.values()}) == (0, {"ok"}), checks
    assert set(checks) == {
        "credentials", "permissions", "store", "OAuth server", "portal", "application", "event handlers"
    }  # fmt: skip
    shown = run("doctor").stdout
    assert "ok      portal: " in shown
    assert pair.access_token not in shown
    assert portal.secret.client_secret not in shown


def test_missing_credentials_and_a_missing_store_are_named(run: Run) -> None:
    status, checks = found(run, B24OAUTH_CLIENT_ID=None)
    assert status == 1
    assert "B24OAUTH_CLIENT_ID" in checks["credentials"]["detail"]
    status, checks = found(run)
    assert (status, checks["store"]["status"]) == (1, "failed")
    assert "b24oauth login" in checks["store"]["remedy"]


def test_a_store_that_others_can_read_is_a_warning(portal: FakePortal, put: Put, run: Run, store_path: Path) -> None:
    put(portal.issue())
    store_path.chmod(0o644)
    status, checks = found(run)
    assert (status, checks["permissions"]["status"]) == (0, "warning")
    assert "chmod go=" in checks["permissions"]["remedy"]


def test_a_pair_that_cannot_be_renewed_is_a_failure(portal: FakePortal, put: Put, run: Run) -> None:
    put(portal.issue(expired=True))
    portal.revoke_all()
    status, checks = found(run)
    assert (status, checks["portal"]["status"]) == (1, "failed")
    assert "b24oauth login" in checks["portal"]["remedy"]


def test_an_oauth_server_that_is_not_reached_is_a_failure(portal: FakePortal, put: Put, run: Run) -> None:
    put(attrs.evolve(portal.issue(), server_endpoint="http://127.0.0.1:9/rest/"))
    trusted = ",".join([*portal.trusted_oauth_hosts, "127.0.0.1:9"])
    status, checks = found(run, B24OAUTH_TRUSTED_HOSTS=trusted)
    assert (status, checks["OAuth server"]["status"]) == (1, "failed")
    status, checks = found(run)
    assert "not a trusted OAuth host" in checks["OAuth server"]["detail"]


def test_a_clock_that_is_wrong_is_a_warning(
    portal: FakePortal, put: Put, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(portal.issue())
    monkeypatch.setattr(doctor, "time", SimpleNamespace(time=lambda: time.time() - 500))
    assert main(["doctor"]) == 0
    assert re.search("(499|500|501) s behind", capsys.readouterr().out)


def test_a_handler_over_plain_http_is_a_warning(portal: FakePortal, put: Put, run: Run) -> None:
    put(portal.issue())
    portal.method("event.get", lambda _: [{"event": "ONCRMDEALADD", "handler": "http://app.example/events"}])
    status, checks = found(run)
    assert (status, checks["event handlers"]["status"]) == (0, "warning")
    assert "ONCRMDEALADD" in checks["event handlers"]["detail"]


def test_a_proxy_is_shown_without_its_password_and_missing_certificates_are_named(
    portal: FakePortal, put: Put, run: Run
) -> None:
    put(portal.issue())
    proxy = {"HTTPS_PROXY": "http://user:pass-word@proxy.example:3128", "NO_PROXY": "127.0.0.1"}
    status, checks = found(run, **proxy, SSL_CERT_FILE="/no/such.pem")
    assert status == 1
    assert "proxy.example:3128" in checks["proxy"]["detail"]
    assert "pass-word" not in str(checks)
    assert "SSL_CERT_FILE" in checks["certificates"]["remedy"]


def test_a_webhook_is_checked_without_a_store(portal: FakePortal, run: Run) -> None:
    status, checks = found(run, B24OAUTH_WEBHOOK=portal.webhook())
    assert (status, set(checks)) == (0, {"credentials", "portal", "scope"})
    assert portal.webhook().rstrip("/").rpartition("/")[2] not in str(checks)
