"""T12: secrets planted everywhere, and no span, metric or log line that an application exports shows any of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import attrs
import httpx
import pytest
import structlog

from b24oauth import B24Hook, B24OAuth, SdkError
from tests.support.clients import UNLIMITED
from tests.support.spies import PARAMS, SECRET, canary, clean_logs, leaks
from tests.support.telemetry import Telemetry

pytestmark = pytest.mark.anyio

CODE = "c4n4rywebhookcode"
ACCESS, REFRESH, CLIENT = PARAMS.access_token, PARAMS.refresh_token, SECRET.client_secret
ALL = f"{ACCESS} {REFRESH} {CLIENT} {canary('application')}"
SENT = {"fields": {"password": canary("password"), "token": canary("password")}, "auth": ACCESS}

Answer = Callable[[httpx.Request], httpx.Response]


def answering(status: int, body: Any, **headers: str) -> Answer:
    return lambda _: httpx.Response(status, json=body, headers=headers)


def raising(error: type[Exception], secrets: str = ALL) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error(f"{request.url} {request.content!r} {request.headers!r} {secrets}")

    return answer


def renewed(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"access_token": ACCESS, "refresh_token": REFRESH, "expires_in": 3600})


def portals(secrets: str, one: str) -> dict[str, Answer]:
    """Portals that repeat all that they were sent, in every place, and ways of not answering at all."""
    return {
        "fine": answering(200, {"result": {"echo": secrets}, "time": {"odd": secrets}}),
        "400": answering(400, {"error": "ERROR_CORE", "error_description": secrets}),
        "code": answering(400, {"error": one, "error_description": secrets}),
        "401": answering(401, {"error": "expired_token", "error_description": secrets}),
        "403": answering(403, {"error": "ACCESS_DENIED", "error_description": secrets}),
        "500": answering(500, {"error": {"code": "INTERNAL", "message": secrets}}),
        "503": answering(503, {"error": "QUERY_LIMIT_EXCEEDED", "error_description": secrets}),
        "host": answering(302, {}, location=f"https://{quote(one, safe='')}.example/rest/"),
        "redirect": answering(302, {}, location=f"https://other.example/rest/?auth={quote(one)}"),
        "page": lambda _: httpx.Response(502, text=f"<html>{secrets}</html>"),
        "connect": raising(httpx.ConnectError, secrets),
        "timeout": raising(httpx.ReadTimeout, secrets),
        "protocol": raising(httpx.RemoteProtocolError, secrets),
        "bug": raising(ValueError, secrets),
    }


OAUTH_PORTALS, WEBHOOK_PORTALS = portals(ALL, ACCESS), portals(CODE, CODE)
SERVERS: dict[str, Answer] = {
    "renewed": renewed,
    "refused": answering(400, {"error": "invalid_grant", "error_description": ALL}),
    "failing": answering(500, {"error": REFRESH, "error_description": ALL}),
    "away": raising(httpx.ReadError),
}


class Lines:
    def __init__(self) -> None:
        self.text = ""

    def __call__(self, _: Any, __: str, line: MutableMapping[str, Any]) -> Any:
        self.text += f"{dict(line)!r}\n"
        raise structlog.DropEvent


def assert_clean(telemetry: Telemetry, lines: Lines) -> None:
    telemetry.assert_nothing_is_open()
    exposed = telemetry.exposed()
    assert exposed.count('"trace_id"') >= 2
    assert "b24oauth_calls_total" in exposed
    assert "call_id" in lines.text
    assert leaks(exposed) == leaks(lines.text) == set()


def options(telemetry: Telemetry, lines: Lines) -> dict[str, Any]:
    logger = structlog.wrap_logger(None, [lines], wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG))
    params = attrs.evolve(UNLIMITED, max_retries=2)
    return {"observers": telemetry.observers, "logger": logger, "restriction_params": params}


@pytest.mark.parametrize("oauth", SERVERS.values(), ids=SERVERS)
@pytest.mark.parametrize("rest", OAUTH_PORTALS.values(), ids=OAUTH_PORTALS)
@pytest.mark.parametrize("expired", [False, True])
async def test_t12_nothing_that_is_exported_shows_a_token_or_the_client_secret(
    rest: Answer, oauth: Answer, expired: bool
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return (oauth if request.url.host == "oauth.bitrix.info" else rest)(request)

    telemetry, lines = Telemetry(), Lines()
    params = attrs.evolve(PARAMS, expires=0) if expired else PARAMS
    with clean_logs():
        async with (
            httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http,
            B24OAuth(params, SECRET, http_client=http, **options(telemetry, lines)) as b24,
        ):
            for api in (b24, b24.v3):
                with suppress(SdkError, ValueError):
                    await api.call("crm.deal.update", SENT)
    assert_clean(telemetry, lines)


@pytest.mark.parametrize("rest", WEBHOOK_PORTALS.values(), ids=WEBHOOK_PORTALS)
async def test_t12_nothing_that_is_exported_shows_the_address_of_a_webhook(rest: Answer) -> None:
    telemetry, lines = Telemetry(), Lines()
    async with httpx.AsyncClient(transport=httpx.MockTransport(rest)) as http:
        url = f"https://portal.example/rest/1/{CODE}/"
        async with B24Hook(url, http_client=http, **options(telemetry, lines)) as hook:
            for api in (hook, hook.v3):
                with suppress(SdkError, ValueError):
                    await api.call("crm.deal.update", SENT)
    telemetry.assert_nothing_is_open()
    exposed = telemetry.exposed()
    assert "rest/1/***/crm.deal.update" in exposed
    assert CODE not in exposed
    assert CODE not in lines.text
    assert "password" not in leaks(exposed) | leaks(lines.text)


@pytest.mark.parametrize("where", ["custom refresh", "callback"])
async def test_t12_what_the_applications_own_code_raises_is_not_exported_with_its_secrets(where: str) -> None:
    def failing(*_: object) -> Any:
        raise ValueError(f"refresh_token={REFRESH!r} {ALL}")

    telemetry, lines = Telemetry(), Lines()
    async with httpx.AsyncClient(transport=httpx.MockTransport(renewed)) as http:
        b24 = B24OAuth(attrs.evolve(PARAMS, expires=0), SECRET, http_client=http, **options(telemetry, lines))
        if where == "callback":
            b24.set_callback_refresh_auth(failing)
        else:
            b24.set_custom_refresh_auth(failing)
        with pytest.raises(SdkError):
            await b24.call("crm.deal.update", SENT)
        b24.remove_callback_refresh_auth()
        await b24.aclose()
    exposed = telemetry.exposed()
    assert "b24oauth.refresh" in exposed
    assert leaks(exposed) == leaks(lines.text) == set()


def test_a_secret_in_a_span_a_metric_or_a_line_would_be_noticed() -> None:
    telemetry = Telemetry()
    with telemetry.tracer.start_as_current_span("x", attributes={"url.full": f"https://x/?auth={quote(ACCESS)}"}):
        pass
    assert leaks(telemetry.exposed()) == {"access"}
    counter = telemetry.meters.get_meter("x").create_counter("x")
    counter.add(1, {"token": REFRESH})
    assert leaks(telemetry.exposed()) == {"access", "refresh"}
