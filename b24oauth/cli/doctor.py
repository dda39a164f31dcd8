"""`b24oauth doctor`: checks everything between a command and the portal, and says what to do."""

from __future__ import annotations

import asyncio
import os
import ssl
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import attrs

from b24oauth.cli.connecting import CLIENT_ID, WEBHOOK, Access, PortalName, chosen, opened_existing, trusted_hosts
from b24oauth.cli.output import AsJson, print_json
from b24oauth.cli.problems import UsageError, remedy
from b24oauth.cli.stores import encryption_keys, location
from b24oauth.client import B24OAuth
from b24oauth.errors import SdkError
from b24oauth.hook import B24Hook
from b24oauth.models import B24OAuthParams
from b24oauth.observing import Log
from b24oauth.protocol.endpoints import DEFAULT_OAUTH_HOSTS, oauth_token_url
from b24oauth.shapes import as_mapping, is_list
from b24oauth.storing import TokenKey
from b24oauth.wire import NoResponse, Wire

__all__ = ["doctor"]

_TIMEOUT: Final = 15.0
# A clock that is wrong by more makes expiry times and signatures doubtful, seconds.
_SKEW: Final = 60.0
_PROXIES: Final = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_CERTIFICATES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_ID: Final = "b24oauth-doctor"


@attrs.frozen
class Finding:
    """What one check has found.

    Attributes:
        check: What was checked.
        status: How it is.
        detail: What was seen.
        remedy: What to do; empty if all is well.
    """

    check: str
    status: Literal["ok", "warning", "failed"]
    detail: str
    remedy: str = ""


def doctor(*, portal: PortalName = "", as_json: AsJson = False) -> int:
    """Check credentials, store, connections and the application on the portal.

    Each line is ok, warning or failed, with what to do. The exit status is 1 if a check failed.

    Args:
        portal: member_id or domain of a stored portal; not needed if one is stored.
        as_json: Print JSON for programs, a line for each check.
    """
    try:
        access: Access | UsageError = Access.from_environment(portal)
    except UsageError as error:
        access = error
    return asyncio.run(_doctor(access, as_json=as_json))


async def _doctor(access: Access | UsageError, *, as_json: bool) -> int:
    has_failed = False
    async for finding in _findings(access):
        has_failed |= finding.status == "failed"
        if as_json:
            print_json(attrs.asdict(finding), compact=True)
        else:
            _show(finding)
    return 1 if has_failed else 0


async def _findings(access: Access | UsageError) -> AsyncIterator[Finding]:
    for finding in _environment():
        yield finding
    if isinstance(access, UsageError):
        yield Finding("credentials", "failed", str(access), f"set the variable, or {WEBHOOK} for a webhook")
        return
    if access.secret is None:
        yield Finding("credentials", "ok", f"the webhook of {WEBHOOK}")
    else:
        yield Finding("credentials", "ok", f"application {access.secret.client_id}")
        for finding in _permissions():
            yield finding
        finding, pair = await _stored(access)
        yield finding
        if pair is None:
            return
        yield await _oauth_server(pair)
    for finding in await _portal(access):
        yield finding


def _environment() -> list[Finding]:
    found: list[Finding] = []
    for name in _PROXIES:
        value = os.environ.get(name) or os.environ.get(name.lower())
        if value:
            # Whoever may use the proxy is nobody's business here.
            found.append(Finding("proxy", "ok", f"{name} names {value.rpartition('@')[2].rpartition('//')[2]}"))
    for name in _CERTIFICATES:
        path = os.environ.get(name)
        if path:
            try:
                is_file = name == "SSL_CERT_FILE"
                ssl.create_default_context(cafile=path if is_file else None, capath=None if is_file else path)
            except OSError as error:
                problem = f"{name}: {path}: {error.strerror or 'no certificates'}"
                found.append(Finding("certificates", "failed", problem, f"correct {name}, or unset it"))
            else:
                found.append(Finding("certificates", "ok", f"{name} names {path}"))
    return found


def _permissions() -> list[Finding]:
    path = Path(location())
    if "://" in location() or not path.exists() or sys.platform == "win32":
        return []
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return [Finding("permissions", "warning", f"{path} has mode {mode:o}", f"run `chmod go= {path}`")]
    return [Finding("permissions", "ok", f"{path} has mode {mode:o}")]


async def _stored(access: Access) -> tuple[Finding, B24OAuthParams | None]:
    if access.secret is None:
        raise AssertionError("a webhook needs no store")
    client_id = access.secret.client_id
    try:
        async with opened_existing() as store:
            found = await chosen(store, client_id, access.portal)
            # A lease is written like a pair, and leaves no record.
            async with asyncio.timeout(_TIMEOUT), store.lease(TokenKey(client_id, _ID), seconds=1.0):
                pass
    except UsageError as error:
        return Finding("store", "failed", str(error), f"run `b24oauth login DOMAIN` with the right {CLIENT_ID}"), None
    except (SdkError, OSError) as error:
        text = error.message if isinstance(error, SdkError) else error.strerror or type(error).__name__
        hint = remedy(error) if isinstance(error, SdkError) else ""
        return Finding("store", "failed", text, hint or "make the store readable and writable"), None
    kind = "encrypted" if encryption_keys() else "not encrypted"
    left = found.params.expires - time.time()
    age = f"access token good for {left / 60:.0f} min" if left > 0 else "access token expired; the next call renews it"
    return Finding("store", "ok", f"readable and writable, {kind}; {found.domain}: {age}"), found.params


async def _oauth_server(pair: B24OAuthParams) -> Finding:
    host = urlsplit(pair.server_endpoint).netloc
    wire = Wire(log=Log(None))
    try:
        url = oauth_token_url(pair.server_endpoint, DEFAULT_OAUTH_HOSTS | trusted_hosts())
        # Without parameters it is refused, which shows that the server is reached.
        answer = await wire.send("GET", url, None, {"Accept": "application/json"}, timeout=_TIMEOUT)
    except NoResponse as failure:
        return Finding("OAuth server", "failed", failure.reason, "check network, proxy and firewall")
    except SdkError as error:
        return Finding("OAuth server", "failed", error.message, remedy(error))
    finally:
        await wire.aclose()
    skew = _skew(answer.headers)
    if abs(skew) > _SKEW:
        detail = f"{host} is reached; this clock is {abs(skew):.0f} s {'behind' if skew > 0 else 'ahead'}"
        return Finding("OAuth server", "warning", detail, "set the clock, for example with NTP")
    return Finding("OAuth server", "ok", f"{host} is reached; the clocks agree")


def _skew(headers: Mapping[str, str]) -> float:
    try:
        return parsedate_to_datetime(headers["date"]).timestamp() - time.time()
    except (KeyError, ValueError):
        return 0.0  # a server that does not say its time


async def _portal(access: Access) -> list[Finding]:
    try:
        async with access.client() as b24:
            user = as_mapping(await b24.call("profile", timeout=_TIMEOUT))
            rights = "an administrator" if user.get("ADMIN") else "no administrator"
            found = [Finding("portal", "ok", f"{_host(b24)} answers; user {user.get('ID')} is {rights}")]
            checks = _OF_HOOKS if isinstance(b24, B24Hook) else _OF_APPLICATIONS
            calls = {check: (method,) for check, (method, _) in checks.items()}
            answers = await b24.batch(calls, return_errors=True, timeout=_TIMEOUT)
            judged = [_judged(check, method, answers[check], judge) for check, (method, judge) in checks.items()]
            return [*found, *judged]
    except (SdkError, UsageError) as error:
        hint = remedy(error) if isinstance(error, SdkError) else ""
        return [Finding("portal", "failed", error.message if isinstance(error, SdkError) else str(error), hint)]


def _host(b24: B24OAuth | B24Hook) -> str:
    return urlsplit(b24.get_target_origin()).netloc


def _judged(check: str, method: str, answer: object, judge: Callable[[object], Finding]) -> Finding:
    if isinstance(answer, Exception):
        text = answer.message if isinstance(answer, SdkError) else str(answer)
        return Finding(check, "warning", f"{method}: {text}", remedy(answer) if isinstance(answer, SdkError) else "")
    return judge(answer)


def _scope(result: object) -> Finding:
    names = sorted(map(str, result)) if is_list(result) else []
    return Finding("scope", "ok" if names else "warning", ", ".join(names) or "empty", "" if names else "add scopes")


def _application(result: object) -> Finding:
    info = as_mapping(result)
    scope = info.get("SCOPE")
    detail = f"status {info.get('STATUS')}, scope {', '.join(map(str, scope)) if is_list(scope) else scope}"
    if info.get("INSTALLED") is False:
        hint = "finish the installation: the portal delivers no events before"
        return Finding("application", "warning", f"{detail}, not installed completely", hint)
    return Finding("application", "ok", detail)


def _handlers(result: object) -> Finding:
    handlers = [as_mapping(row) for row in result] if is_list(result) else []
    plain = [str(row.get("event")) for row in handlers if str(row.get("handler", "")).startswith("http://")]
    if plain:
        hint = "bind them again with https addresses: events carry tokens"
        return Finding("event handlers", "warning", f"over plain http: {', '.join(plain)}", hint)
    return Finding("event handlers", "ok", f"{len(handlers)} bound")


# What is asked of the portal: the method, and what its answer means.
_OF_HOOKS: Final = {"scope": ("scope", _scope)}
_OF_APPLICATIONS: Final = {"application": ("app.info", _application), "event handlers": ("event.get", _handlers)}


def _show(finding: Finding) -> None:
    from rich.console import Console  # noqa: PLC0415 - not needed with --json
    from rich.text import Text  # noqa: PLC0415 - as above

    style = {"ok": "green", "warning": "yellow", "failed": "bold red"}[finding.status]
    line = Text.assemble((f"{finding.status:8}", style), f"{finding.check}: {finding.detail}")
    console = Console(highlight=False, soft_wrap=True)
    console.print(line)
    if finding.remedy:
        console.print(Text(f"        {finding.remedy}"))
