"""T12: secrets planted everywhere, every way of failing driven, and nothing that people see shows any of them."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, quote, quote_plus

import attrs
import httpx
import pytest

from b24oauth import (
    AjaxResult,
    ApiVersion,
    AuthData,
    B24OAuth,
    B24OAuthParams,
    B24OAuthSecret,
    ClientStateError,
    ConfigurationError,
    RefreshTokenError,
    Result,
    SdkError,
    TokenPersistenceError,
)
from b24oauth.errors import IncompleteBatchError, RequestInfo, RequestTimeoutError, UntrustedHostError
from b24oauth.models import RefreshedAuth
from b24oauth.protocol.decoding import RawResponse
from b24oauth.protocol.dialects import DIALECTS
from b24oauth.rest.request import prepare
from b24oauth.result import AjaxQuery
from b24oauth.stores import MemoryStore, StoredPair, TokenKey
from tests.support.clients import UNLIMITED
from tests.support.spies import (
    PARAMS,
    SECRET,
    assert_error_is_clean,
    assert_shows_nothing,
    canary,
    clean_logs,
    leaks,
    saying,
    server,
)

pytestmark = pytest.mark.anyio

ACCESS, REFRESH, CLIENT = PARAMS.access_token, PARAMS.refresh_token, SECRET.client_secret
KNOWN = (ACCESS, REFRESH, CLIENT)
# What an application may send of its own under the names of credentials.
SENSITIVE = {
    "password": canary("password"),
    "fields": {"token": canary("password"), "rows": [{"sessid": canary("password")}]},
    "url": f"https://app.example/?a=1&access_token={quote(canary('password'))}",
    "json": json.dumps({"secret": canary("password")}),
}
CALL = ("crm.deal.get", SENSITIVE)

Answer = Callable[[httpx.Request], httpx.Response]


def answering(status: int, body: Any = None, **headers: str) -> Answer:
    """The same answer to every request; text and bytes as they are, anything else as JSON."""
    raw = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return lambda _: httpx.Response(status, content=raw, headers=headers)


def raising(error: type[Exception]) -> Answer:
    """No answer, from a client whose error repeats what was sent."""

    def answer(request: httpx.Request) -> httpx.Response:
        raise error(f"{request.content!r} {request.headers!r}")

    return answer


def renewed(request: httpx.Request) -> httpx.Response:
    form = parse_qs(request.content.decode())
    assert form["refresh_token"] == [REFRESH]
    return httpx.Response(200, json={"access_token": ACCESS, "refresh_token": REFRESH, "expires_in": 3600})


FINE = answering(200, {"result": {"ID": 1}, "time": {"operating": 0.1}})


@asynccontextmanager
async def client(
    rest: Answer = FINE, oauth: Answer = renewed, *, expired: bool = False, **options: Any
) -> AsyncIterator[B24OAuth]:
    """A client of scripted servers that holds planted secrets; all that is logged meanwhile must be free of them."""

    def answer(request: httpx.Request) -> httpx.Response:
        return (oauth if request.url.host == "oauth.bitrix.info" else rest)(request)

    params = attrs.evolve(PARAMS, expires=0) if expired else PARAMS
    options.setdefault("restriction_params", attrs.evolve(UNLIMITED, max_retries=2))
    with clean_logs() as records:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            b24 = B24OAuth(params, SECRET, http_client=http, **options)
            yield b24
            await b24.aclose()
    assert records


async def failure_of(b24: B24OAuth, version: ApiVersion = ApiVersion.V2) -> SdkError:
    """The error of a call, whether it is raised or returned inside of the result."""
    actions = getattr(b24.actions, version)
    try:
        response = await actions.call.make(*CALL)
    except SdkError as error:
        return error
    assert_shows_nothing(response, response.get_query(), *response.get_error_messages())
    with pytest.raises(SdkError) as caught:
        response.raise_for_error()
    return caught.value


def assert_objects_are_clean(b24: B24OAuth) -> None:
    http = [b24.get_http_client(version) for version in ApiVersion]
    parts = [b24, b24.auth, b24.actions, b24.actions.v2, b24.actions.v3, b24.tools, b24.get_logger(), *http]
    inner = [
        b24._keeper,
        b24._wire,
        b24._limits,
        b24._keeper._renewer,
        b24._keeper._settler,
        b24._keeper._settler.held,
        http[0]._services,
    ]
    data = [b24.auth.get_params(), b24.auth.get_auth_data(), *[client.get_stats() for client in http]]
    assert_shows_nothing(*parts, *inner, *data)


# --- the canaries sing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wording", [str, quote, json.dumps, repr, lambda secret: pickle.dumps({"x": secret})])
def test_a_secret_that_shows_is_noticed(wording: Callable[[str], Any]) -> None:
    for secret, name in ((ACCESS, "access"), (REFRESH, "refresh"), (CLIENT, "client")):
        assert leaks(wording(secret)) == {name}
        assert leaks(f"cut off: {secret[:20]}")
    with pytest.raises(AssertionError):
        assert_error_is_clean(ValueError(ACCESS))
    with pytest.raises(AssertionError):
        assert_shows_nothing({"token": ACCESS})


def test_a_secret_that_is_logged_is_noticed() -> None:
    logger = B24OAuth(PARAMS, SECRET).get_logger()

    def log() -> None:
        with clean_logs():
            logger.info("harmless", extra={"token": ACCESS})

    with pytest.raises(AssertionError):
        log()


# --- answers that repeat what was sent --------------------------------------------------------------------------------


def _escaped(secret: str) -> str:
    """Every letter written as JSON's `\\uXXXX`, which a decoder turns back."""
    return "".join(f"\\u{ord(letter):04x}" for letter in secret)


# How a server may spell a secret inside of a JSON string; what is in quotes is decoded once by the client.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda secret: json.dumps(secret)[1:-1],
    "escaped twice": lambda secret: json.dumps(json.dumps(secret))[1:-1],
    "slashes escaped": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    "all escaped": _escaped,
    "percent-encoded": lambda secret: quote(secret, safe=""),
    "percent-encoded in lower case": lambda secret: re.sub("%..", lambda pair: pair[0].lower(), quote(secret, safe="")),
    "as a form": quote_plus,
    "encoded twice": lambda secret: quote(quote(secret, safe=""), safe=""),
    "encoded twice in lower case": lambda secret: re.sub(
        "%25..", lambda pair: pair[0].lower(), quote(quote(secret, safe=""), safe="")
    ),
    "encoded three times": lambda secret: quote(quote(quote(secret, safe=""), safe=""), safe=""),
    "all percent-encoded": lambda secret: "".join(f"%{byte:02X}" for byte in secret.encode()),
    "in upper case": lambda secret: json.dumps(secret.upper())[1:-1],
    "slashes kept": quote,
}
ECHOES = {name: " ".join(map(spell, KNOWN)) for name, spell in SPELLINGS.items()}
ECHO = " ".join(ECHOES.values())
echoes = pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES.keys())

CODES = [
    (400, "ERROR_CORE"),
    (400, "ERROR_ENTITY_NOT_FOUND"),
    (400, "INVALID_ARG_VALUE"),
    (401, "expired_token"),
    (401, "invalid_token"),
    (401, "NO_AUTH_FOUND"),
    (403, "insufficient_scope"),
    (403, "OVERLOAD_LIMIT"),
    (404, "ERROR_METHOD_NOT_FOUND"),
    (422, "BITRIX_REST_V3_EXCEPTION_VALIDATION_REQUESTVALIDATIONEXCEPTION"),
    (429, "OPERATION_TIME_LIMIT"),
    (500, "INTERNAL_SERVER_ERROR"),
    (500, "SOMETHING"),
    (503, "QUERY_LIMIT_EXCEEDED"),
    (200, "ERROR_CORE"),
    (200, "expired_token"),
]


def _v2_error(code: str, echo: str) -> str:
    return f'{{"error":"{code}","error_description":"refused: {echo}"}}'


def _v3_error(code: str, echo: str) -> str:
    rows = f'[{{"field":"fields[x]","message":"bad {echo}","value":"{echo}"}},{{"field":"token","value":"{echo}"}}]'
    return f'{{"error":{{"code":"{code}","message":"refused: {echo}","validation":{rows}}}}}'


def _coded(code: str, echo: str) -> str:
    return f'{{"error":"{code} {echo}","error_description":"refused"}}'


shapes = pytest.mark.parametrize("shape", [_v2_error, _v3_error, _coded])


@shapes
@pytest.mark.parametrize(("status", "code"), CODES)
async def test_t12_an_error_that_repeats_the_tokens(status: int, code: str, shape: Callable[[str, str], str]) -> None:
    async with client(answering(status, shape(code, ECHO))) as b24:
        for version in ApiVersion:
            assert_error_is_clean(await failure_of(b24, version))
        assert_objects_are_clean(b24)


@echoes
@shapes
async def test_t12_an_error_that_repeats_the_tokens_in_one_spelling(
    shape: Callable[[str, str], str], echo: str
) -> None:
    # What is logged of an answer is cut: each spelling must come first once.
    async with client(answering(400, shape("ERROR_CORE", echo))) as b24:
        assert_error_is_clean(await failure_of(b24))


async def test_t12_an_error_repeats_neither_previous_tokens_nor_the_application_token() -> None:
    told = f"{ACCESS} {REFRESH} {PARAMS.application_token}"
    pair = {"access_token": "new-access-token", "refresh_token": "new-refresh-token", "expires_in": 3600}
    rest = answering(400, {"error": "ERROR_CORE", "error_description": told})
    async with client(rest, answering(200, pair)) as b24:
        await b24.auth.refresh_auth()
        error = await failure_of(b24)
        assert_error_is_clean(error)
        assert "ERROR_CORE" in str(error)
        assert PARAMS.application_token not in str(error)


def _page(echo: str) -> str:
    return f"<html>{echo}</html>"


def _cut(echo: str) -> str:
    return f'{{"error":"X","error_description":"{echo}'


def _list(echo: str) -> str:
    return f'["{echo}"]'


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 500, 502, 503])
@pytest.mark.parametrize("body", [_page, _cut, _list])
async def test_t12_an_answer_that_is_none_and_repeats_the_tokens(body: Callable[[str], str], status: int) -> None:
    headers = {"content-type": f"text/{ACCESS}", "set-cookie": f"a={ACCESS}", "location": f"/?auth={quote(ACCESS)}"}
    async with client(answering(status, body(ECHO), **headers)) as b24:
        assert_error_is_clean(await failure_of(b24))
        assert_objects_are_clean(b24)


@echoes
@pytest.mark.parametrize("version", list(ApiVersion))
async def test_t12_a_batch_whose_commands_repeat_the_tokens(version: ApiVersion, echo: str) -> None:
    failures = [_v2_error("ERROR_CORE", echo), _v3_error("ERROR_CORE", echo), _coded("ERROR_CORE", echo), f'"{echo}"']
    rows = ",".join(failures)
    answers = {
        ApiVersion.V2: f'{{"result":{{"result":[],"result_error":[{rows}]}}}}',
        ApiVersion.V3: f'{{"error":{{"code":"X","message":"{echo}","validation":[{rows[:-1].rpartition(",")[0]}]}}}}',
    }
    async with client(answering(200, answers[version])) as b24:
        commands = [(CALL[0], SENSITIVE)] * len(failures)
        try:
            result = await getattr(b24.actions, version).batch.make(commands)
        except SdkError as error:
            assert_error_is_clean(error)
        else:
            errors = list(result.get_errors())
            assert errors
            for error in errors:
                assert_error_is_clean(error)
            assert_shows_nothing(result, *result.get_error_messages())
            with pytest.raises(SdkError) as caught:
                result.raise_for_error()
            assert_error_is_clean(caught.value)
        assert_objects_are_clean(b24)


async def test_t12_a_batch_that_leaves_commands_out() -> None:
    async with client(answering(200, {"result": {"result": {"a": {"password": canary("password")}}}})) as b24:
        with pytest.raises(IncompleteBatchError) as caught:
            await b24.actions.v2.batch.make({"a": CALL, "b": CALL}, return_ajax_result=True)
    assert_error_is_clean(caught.value)
    assert_shows_nothing(caught.value.result)


async def test_t12_a_success_that_repeats_the_tokens_under_their_names() -> None:
    body = {"result": {"access_token": ACCESS, "rows": [{"auth": ACCESS}], "link": f"/x?auth={quote(ACCESS)}"}}
    async with client(answering(200, body)) as b24:
        response = await b24.actions.v2.call.make(*CALL)
        assert_shows_nothing(response, response.get_query())
        assert_objects_are_clean(b24)


@echoes
async def test_t12_a_success_that_repeats_the_tokens_is_not_logged(echo: str) -> None:
    async with client(answering(200, f'{{"result":"{echo}","time":{{"{echo}":"{echo}"}}}}')) as b24:
        assert (await b24.actions.v2.call.make(*CALL)).is_success


# --- everything else that calls ---------------------------------------------------------------------------------------


async def _drained(pages: AsyncIterator[list[Any]]) -> None:
    async for page in pages:
        assert isinstance(page, list)


@attrs.define
class Deal:
    id: int
    opportunity: float


USES: dict[str, Callable[[B24OAuth], Awaitable[Any]]] = {
    "call_list": lambda b24: b24.actions.v2.call_list.make("crm.deal.list", {"filter": SENSITIVE}),
    "fetch_list": lambda b24: _drained(b24.actions.v2.fetch_list.make("crm.deal.list", {"filter": SENSITIVE})),
    "counted list": lambda b24: b24.actions.v2.call_list.make("user.get", {"filter": SENSITIVE}),
    "call_list of v3": lambda b24: b24.actions.v3.call_list.make("tasks.task.list", {"select": [SENSITIVE]}),
    "fetch_list of v3": lambda b24: _drained(b24.actions.v3.fetch_list.make("tasks.task.list", SENSITIVE)),
    "wrong filter of v3": lambda b24: b24.actions.v3.call_list.make("tasks.task.list", {"filter": SENSITIVE}),
    "call_tail": lambda b24: b24.actions.v3.call_tail.make("main.eventlog.tail", SENSITIVE),
    "fetch_tail": lambda b24: _drained(b24.actions.v3.fetch_tail.make("main.eventlog.tail", SENSITIVE)),
    "aggregate": lambda b24: b24.actions.v3.aggregate.make(
        "main.eventlog.aggregate", {"filter": SENSITIVE}, select={"count": ["id"]}
    ),
    "wrong aggregate": lambda b24: b24.actions.v3.aggregate.make("main.eventlog.aggregate", select=SENSITIVE),
    "typed call": lambda b24: b24.actions.v2.call.make(*CALL, result_type=Deal),
    "typed list": lambda b24: b24.actions.v2.call_list.make("crm.deal.list", SENSITIVE, result_type=Deal),
    "batch_by_chunk": lambda b24: b24.actions.v2.batch_by_chunk.make([CALL] * 60),
    "batch_by_chunk of v3": lambda b24: b24.actions.v3.batch_by_chunk.make([CALL] * 60),
    "init_is_admin": lambda b24: b24.init_is_admin(),
    "discover_v3_methods": lambda b24: b24.discover_v3_methods(),
    "ping": lambda b24: b24.tools.ping.make(),
    "health_check": lambda b24: b24.tools.health_check.make(),
}


def _rows(row: str) -> str:
    return f'{{"result":[{",".join([row] * 50)}]}}'


BODIES: dict[str, Callable[[str], tuple[int, str]]] = {
    "an error": lambda echo: (400, _v2_error("ERROR_CORE", echo)),
    "an error of v3": lambda echo: (400, _v3_error("X", echo)),
    "an error inside of a 200": lambda echo: (200, _v2_error("ERROR_CORE", echo)),
    "a page": lambda echo: (200, _page(echo)),
    "text": lambda echo: (200, f'{{"result":"{echo}"}}'),
    "rows in the wrong place": lambda echo: (200, f'{{"result":{{"{echo}":["{echo}"]}}}}'),
    "rows without a cursor": lambda echo: (200, _rows(f'{{"x":"{echo}"}}')),
    "rows with an odd cursor": lambda echo: (200, _rows(f'{{"ID":"{echo}","id":"{echo}","timestampX":"{echo}"}}')),
    "an odd next": lambda echo: (200, f'{{"result":[{{"ID":1}}],"next":"{echo}","total":"{echo}"}}'),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_t12_whatever_is_asked_and_whatever_is_answered(
    use: Callable[[B24OAuth], Awaitable[Any]], body: Callable[[str], tuple[int, str]]
) -> None:
    async with client(answering(*body(ECHO))) as b24:
        try:
            result = await use(b24)
        except SdkError as error:
            assert_error_is_clean(error)
        else:
            for error in result.get_errors() if isinstance(result, Result) else ():
                assert_error_is_clean(error)
        await b24.tools.ping.make()  # always says something in the log
        assert_objects_are_clean(b24)


# --- no answer --------------------------------------------------------------------------------------------------------

FAILURES = [
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.ReadError,
    httpx.ReadTimeout,
    httpx.WriteError,
    httpx.PoolTimeout,
    httpx.RemoteProtocolError,
    httpx.LocalProtocolError,
    httpx.ProxyError,
    httpx.DecodingError,
    httpx.UnsupportedProtocol,
]
failures = pytest.mark.parametrize("error", FAILURES)


@failures
async def test_t12_a_call_without_an_answer(error: type[Exception]) -> None:
    async with client(raising(error)) as b24:
        for version in ApiVersion:
            assert_error_is_clean(await failure_of(b24, version))
        with pytest.raises(SdkError) as caught:
            await b24.actions.v2.call.make("crm.deal.add", SENSITIVE)
        assert_error_is_clean(caught.value)
        assert_objects_are_clean(b24)


@failures
async def test_t12_a_renewal_without_an_answer(error: type[Exception]) -> None:
    async with client(oauth=raising(error), expired=True) as b24:
        assert_error_is_clean(await failure_of(b24))
        assert_objects_are_clean(b24)


async def test_t12_a_call_that_is_out_of_time() -> None:
    async def hang(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(1000)
        raise AssertionError

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(hang)) as http,
        B24OAuth(PARAMS, SECRET, http_client=http) as b24,
    ):
        with clean_logs(), pytest.raises(RequestTimeoutError) as caught:
            await b24.actions.v2.call.make(*CALL, timeout=5)
    assert_error_is_clean(caught.value)


async def test_t12_redirects() -> None:
    for location in (
        f"https://evil.example/?auth={quote(ACCESS)}",
        f"/?auth={ACCESS}",
        f"https://{quote(ACCESS, safe='')}@evil.example/",
    ):
        async with client(answering(302, "", location=location)) as b24:
            assert_error_is_clean(await failure_of(b24))


@pytest.mark.parametrize(
    "raw", [b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"result":1}', b"nonsense\r\n\r\n", b""]
)
async def test_t12_what_a_real_connection_logs(raw: bytes, transport: str) -> None:
    async with server(saying(raw)) as url:
        root = url.removesuffix("profile")
        pair = attrs.evolve(PARAMS, client_endpoint=root)
        with clean_logs() as records:
            hosts = [root.split("/")[2], "oauth.bitrix.info"]
            once = attrs.evolve(UNLIMITED, max_retries=1)
            async with B24OAuth(pair, SECRET, trusted_oauth_hosts=hosts, restriction_params=once) as b24:
                for actions in (b24.actions.v2, b24.actions.v3):
                    try:
                        await actions.call.make("crm.deal.add", SENSITIVE)
                        await actions.batch.make([CALL], timeout=5)
                    except SdkError as error:
                        assert_error_is_clean(error)
    core = {"httpx": {"httpcore"}, "httpx2": {"httpcore2"}, "aiohttp": set[str]()}
    talkative = {"b24oauth"} | core[transport]
    assert {record.name.split(".")[0] for record in records} >= talkative


# --- renewals ---------------------------------------------------------------------------------------------------------


@shapes
@pytest.mark.parametrize("code", ["invalid_grant", "expired_token", "WHATEVER"])
@pytest.mark.parametrize("status", [200, 302, 400, 401, 500, 503])
async def test_t12_a_refused_renewal_that_repeats_the_tokens(
    status: int, code: str, shape: Callable[[str, str], str]
) -> None:
    async with client(oauth=answering(status, shape(code, ECHO)), expired=True) as b24:
        error = await failure_of(b24)
        assert isinstance(error, RefreshTokenError)
        assert_error_is_clean(error)
        assert_objects_are_clean(b24)


@pytest.mark.parametrize("status", [200, 302, 400, 500])
@pytest.mark.parametrize("body", [_page, _cut, _list])
async def test_t12_a_renewal_answered_with_nonsense(body: Callable[[str], str], status: int) -> None:
    answer = answering(status, body(ECHO), location=f"https://evil.example/?{quote(CLIENT)}")
    async with client(oauth=answer, expired=True) as b24:
        assert_error_is_clean(await failure_of(b24))


@pytest.mark.parametrize(
    "answer",
    [
        {"access_token": ACCESS + "2"},
        {"access_token": [ACCESS], "refresh_token": {"x": REFRESH}},
        {"access_token": ACCESS, "refresh_token": REFRESH, "scope": [ACCESS], "expires_in": ACCESS, "status": REFRESH},
        {
            "access_token": ACCESS,
            "refresh_token": REFRESH,
            "server_endpoint": f"https://{quote(ACCESS, safe='')}@evil.example",
        },
        {"access_token": ACCESS, "refresh_token": REFRESH, "client_endpoint": f"http://evil.example/{quote(REFRESH)}"},
    ],
)
async def test_t12_a_renewal_with_odd_data(answer: dict[str, Any]) -> None:
    async with client(answering(400, _v2_error("X", "x")), answering(200, answer), expired=True) as b24:
        assert_error_is_clean(await failure_of(b24))
        assert_objects_are_clean(b24)


# --- code of the application that fails -------------------------------------------------------------------------------


class TellTaleError(Exception):
    """Says everything it knows, in its arguments, its attributes, its cause and its notes."""

    def __init__(self, *known: Any) -> None:
        super().__init__(*known)
        self.known = known
        self.add_note(f"note: {known}")


def tell(*known: Any) -> TellTaleError:
    error = TellTaleError(*known)
    error.__cause__ = KeyError(repr(known))
    return error


class QuietError(Exception):
    """Says nothing, and holds everything."""

    def __init__(self, *known: Any) -> None:
        super().__init__("could not be saved")
        self.known = known


APPLICATION = PARAMS.application_token
EVERYTHING = (ACCESS, REFRESH, CLIENT, APPLICATION)
excuses = pytest.mark.parametrize("excuse", [tell, QuietError, lambda *known: OSError(5, " ".join(known))])


@attrs.define
class FailingStore(MemoryStore):
    """A store whose errors repeat the pair that it was given or has kept."""

    where: str
    excuse: Callable[..., Exception]

    def __attrs_post_init__(self) -> None:
        super().__init__()

    def lease(self, key: TokenKey, *, seconds: float) -> Any:
        if self.where == "lease":
            raise self.excuse(*EVERYTHING)
        return super().lease(key, seconds=seconds)

    async def load(self, key: TokenKey) -> StoredPair | None:
        if self.where == "load":
            raise self.excuse(*EVERYTHING)
        return await super().load(key)

    async def save(self, key: TokenKey, params: B24OAuthParams, *, expected: str | None) -> str:
        if self.where == "save":
            raise self.excuse(*(str(value) for value in params.to_dict().values()), *EVERYTHING)
        return await super().save(key, params, expected=expected)


@excuses
@pytest.mark.parametrize("where", ["lease", "load", "save"])
async def test_t12_a_store_that_fails(where: str, excuse: Callable[..., Exception]) -> None:
    store = FailingStore(where, excuse)
    async with client(expired=True, token_store=store) as b24:
        for _ in range(2):
            error = await failure_of(b24)
            assert isinstance(error, TokenPersistenceError)
            assert_error_is_clean(error)
        if where == "save":
            with pytest.raises(TokenPersistenceError) as caught:
                await b24.aclose()
            assert_error_is_clean(caught.value)
        assert_objects_are_clean(b24)
        store.where = "nowhere"


@excuses
@pytest.mark.parametrize("plain", [True, False])
async def test_t12_a_callback_that_fails(plain: bool, excuse: Callable[..., Exception]) -> None:
    def fail(refreshed: RefreshedAuth) -> None:
        raise excuse(*map(str, refreshed.b24_oauth_params.to_dict().values()), *EVERYTHING)

    async def fail_later(refreshed: RefreshedAuth) -> None:
        fail(refreshed)

    async with client(expired=True) as b24:
        b24.set_callback_refresh_auth(fail if plain else fail_later)
        error = await failure_of(b24)
        assert isinstance(error, TokenPersistenceError)
        assert_error_is_clean(error)
        assert_objects_are_clean(b24)
        b24.remove_callback_refresh_auth()


def _gives_up(*known: Any) -> RefreshTokenError:
    error = RefreshTokenError(f"no more: {known}", code=f"DEAD {known}", needs_reauth=True)
    error.__cause__ = tell(*known)
    return error


@pytest.mark.parametrize("excuse", [tell, QuietError, _gives_up])
async def test_t12_a_custom_refresh_that_fails(excuse: Callable[..., Exception]) -> None:
    def fail() -> Any:
        raise excuse(*EVERYTHING)

    async with client(expired=True) as b24:
        b24.set_custom_refresh_auth(fail)
        error = await failure_of(b24)
        assert isinstance(error, RefreshTokenError)
        assert_error_is_clean(error)
        assert_objects_are_clean(b24)


@pytest.mark.parametrize("given", [None, [ACCESS], ACCESS, {"access_token": ACCESS}, {"access_token": 5}])
async def test_t12_a_custom_refresh_that_gives_nonsense(given: Any) -> None:
    async with client(expired=True) as b24:
        b24.set_custom_refresh_auth(lambda: given)
        assert_error_is_clean(await failure_of(b24))


# --- wrong use --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {**SENSITIVE, "bad": object()},
        {**SENSITIVE, "token": object()},
        {**SENSITIVE, "token": b"\xff" + ACCESS.encode()},
        {**SENSITIVE, "token": float("nan")},
        f"token={quote(canary('password'))}",
        f"password={quote(canary('password'))}".encode(),
        {"password": {"a": {1, canary("password")}}},
    ],
)
async def test_t12_parameters_that_cannot_be_sent(params: Any) -> None:
    async with client() as b24:
        await b24.actions.v2.call.make("profile")
        for actions in (b24.actions.v2, b24.actions.v3):
            with pytest.raises(SdkError) as call:
                await actions.call.make("x.get", params)
            with pytest.raises(SdkError) as batch:
                await actions.batch.make([("x.get", params)])
            for caught in (call, batch):
                assert_error_is_clean(caught.value)


def _odd_pairs() -> list[dict[str, Any]]:
    good = PARAMS.to_dict()
    return [
        *[good | {name: [good[name]]} for name in good],
        *[{name: value for name, value in good.items() if name != left_out} for left_out in good],
        good | {"expires": ACCESS, "user_id": REFRESH, "expires_in": ACCESS},
        {"auth": good, "ACCESS_TOKEN": ACCESS},
    ]


@pytest.mark.parametrize("data", _odd_pairs())
def test_t12_pairs_that_cannot_be_read(data: dict[str, Any]) -> None:
    try:
        read = B24OAuthParams.from_dict(data)
    except ConfigurationError as error:
        assert_error_is_clean(error)
    else:
        assert_shows_nothing(read)


@pytest.mark.parametrize(
    "data", [[CLIENT], CLIENT, {"client_secret": CLIENT}, {"client_id": 1, "client_secret": [CLIENT]}]
)
def test_t12_application_secrets_that_cannot_be_read(data: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        B24OAuthSecret.from_dict(data)
    assert_error_is_clean(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        f"https://{quote(ACCESS, safe='')}@evil.example/",
        f"https://{quote_plus(ACCESS)}:{quote_plus(REFRESH)}@evil.example/",
        f"https://evil.example/?auth={quote(ACCESS)}",
        f"http://evil.example/{quote(REFRESH)}#{CLIENT}",
        f"https://[{ACCESS}/",
        f"https://user:{quote_plus(ACCESS)}@evil.example:99999/",
        ACCESS,
    ],
)
async def test_t12_endpoints_that_carry_secrets(address: str) -> None:
    async with client() as b24:
        await b24.actions.v2.call.make("profile")
        for name in ("server_endpoint", "client_endpoint"):
            forged = attrs.evolve(PARAMS, **{name: address})
            with pytest.raises(UntrustedHostError) as made:
                B24OAuth(forged, SECRET)
            with pytest.raises(UntrustedHostError) as set_later:
                b24.auth.set_params(forged)
            for caught in (made, set_later):
                assert_error_is_clean(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        (PARAMS.to_dict(), SECRET),
        (PARAMS, SECRET.to_dict()),
        (SECRET, PARAMS),
        (PARAMS, CLIENT),
    ],
)
def test_t12_clients_that_cannot_be_made(arguments: tuple[Any, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        B24OAuth(*arguments)
    assert_error_is_clean(caught.value)


async def test_t12_hooks_and_keys_that_are_refused() -> None:
    async with client() as b24:
        await b24.actions.v2.call.make("profile")
        for hook in (b24.set_callback_refresh_auth, b24.set_custom_refresh_auth):
            with pytest.raises(ConfigurationError) as caught:
                hook({"access_token": ACCESS})  # type: ignore[arg-type]
            assert_error_is_clean(caught.value)
        with pytest.raises(ConfigurationError) as caught:
            await b24.actions.v3.call.make(*CALL, idempotency_key=f"{ACCESS}\n")
        assert_error_is_clean(caught.value)


async def test_t12_a_closed_client() -> None:
    async with client() as b24:
        await b24.actions.v2.call.make("profile")
        await b24.aclose()
        with pytest.raises(ClientStateError) as caught:
            await b24.actions.v2.call.make(*CALL)
        assert_error_is_clean(caught.value)
        with pytest.raises(ClientStateError) as caught:
            await b24.auth.refresh_auth()
        assert_error_is_clean(caught.value)
        assert_objects_are_clean(b24)


async def test_t12_an_access_token_that_no_header_can_carry() -> None:
    odd = attrs.evolve(PARAMS, access_token=f"{ACCESS}\r\nключ")
    async with client() as b24:
        b24.auth.set_params(odd)
        with pytest.raises(SdkError) as caught:
            await b24.actions.v3.batch.make([CALL])
        assert_error_is_clean(caught.value)


# --- objects ----------------------------------------------------------------------------------------------------------


def test_t12_values_show_nothing() -> None:
    auth = AuthData(
        access_token=ACCESS, refresh_token=REFRESH, expires=1, expires_in=1, domain="portal.example", member_id="m"
    )
    query = AjaxQuery(method="x.get", params=SENSITIVE, request_id="r")
    info = RequestInfo(method="x.get", params=SENSITIVE)
    result: AjaxResult[Any] = AjaxResult({"result": SENSITIVE}, query=query)
    refreshed = RefreshedAuth(auth_data=auth, b24_oauth_params=PARAMS)
    assert_shows_nothing(PARAMS, SECRET, auth, refreshed, query, info, result, result.get_data(), MemoryStore())
    for dialect in DIALECTS.values():
        assert_shows_nothing(prepare(query, dialect), RawResponse(200, {}, ACCESS.encode()))


@pytest.mark.parametrize("value", [PARAMS, SECRET])
def test_t12_values_are_not_pickled_and_copies_show_nothing(value: Any) -> None:
    with pytest.raises(TypeError) as caught:
        pickle.dumps(value)
    assert_error_is_clean(caught.value)
    assert_shows_nothing(copy.copy(value), copy.deepcopy(value), [value], {"x": value})


async def test_t12_nothing_shows_before_during_and_after_a_renewal() -> None:
    async with client(expired=True, token_store=MemoryStore()) as b24:
        assert_objects_are_clean(b24)
        renewal = asyncio.create_task(b24.auth.refresh_auth())
        await asyncio.sleep(0)
        assert_objects_are_clean(b24)
        assert_shows_nothing(renewal, *asyncio.all_tasks())
        assert_shows_nothing(await renewal)
        assert_objects_are_clean(b24)
        assert (await b24.actions.v2.call.make(*CALL)).is_success
