"""Wrong arguments are refused by their name, with the remedy, before anything is sent."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from b24oauth import (
    B24OAuth,
    ConfigurationError,
    ParamsFactory,
    RateLimitConfig,
    RestrictionManager,
    RestrictionParams,
    SdkError,
)
from b24oauth.limits import AdaptiveConfig, OperatingLimitConfig
from b24oauth.stores import MemoryStore
from tests.support.builders import secret
from tests.support.clients import connected, fake_portal
from tests.support.stores import put

pytestmark = pytest.mark.anyio

WRONG: dict[str, list[Any]] = {
    "timeout": ["3", 0, -1, float("nan"), float("inf"), True, []],
    "request_id": [5, b"id", ["id"], "\ud800"],
    "idempotent": ["yes", 1],
    "idempotency_key": [5, b"key", ""],
    "is_halt_on_error": ["x", 0],
    "return_ajax_result": [3],
    "repeat_refused": ["no"],
    "allow_text_references": ["y"],
    "concurrency": ["x", 0, -1, 1.5, True],
    "on_progress": ["x", 5],
    "max_items": ["5", 1.5, -1, True],
    "id_key": [5, "", " "],
    "cursor_id_key": [5, ""],
    "custom_key_for_result": [3, ""],
    "start_after": [[], -1, "x", True, 1.5],
    "descending": ["no", 1],
    "allow_changes": [1],
    "paging": ["x", 5, True],
    "pages_per_request": [0, 51, "x"],
    "limit": [0, 1001, "x", 2.5],
    "cursor_field": [3, ""],
    "order": ["up", 5],
}
CALL = ("timeout", "request_id", "idempotent")
BATCH = (*CALL, "is_halt_on_error", "return_ajax_result", "repeat_refused", "allow_text_references")
WALK = ("timeout", "request_id", "max_items", "on_progress")
KEYS = ("id_key", "cursor_id_key", "custom_key_for_result", "start_after", "descending", "allow_changes")
LIST = (*WALK, *KEYS, "paging", "pages_per_request", "concurrency")
TAIL = (*WALK, "cursor_field", "order", "limit", "custom_key_for_result")
Use = Callable[[B24OAuth, dict[str, Any]], Any]
USES: dict[str, tuple[Use, tuple[str, ...]]] = {
    "v2.call": (lambda b24, o: b24.actions.v2.call.make("profile", **o), (*CALL, "idempotency_key")),
    "v3.call": (lambda b24, o: b24.actions.v3.call.make("main.x.add", **o), (*CALL, "idempotency_key")),
    "v2.batch": (lambda b24, o: b24.actions.v2.batch.make([("profile",)], **o), BATCH),
    "v3.batch": (lambda b24, o: b24.actions.v3.batch.make([("profile",)], **o), BATCH),
    "v2.chunk": (lambda b24, o: b24.actions.v2.batch_by_chunk.make([("profile",)], **o), (*BATCH, "concurrency")),
    "v2.call_list": (lambda b24, o: b24.actions.v2.call_list.make("crm.deal.list", **o), LIST),
    "v2.fetch_list": (lambda b24, o: b24.actions.v2.fetch_list.make("crm.deal.list", **o), LIST),
    "v3.call_list": (lambda b24, o: b24.actions.v3.call_list.make("tasks.task.list", **o), (*WALK, *KEYS, "limit")),
    "v3.fetch_list": (lambda b24, o: b24.actions.v3.fetch_list.make("tasks.task.list", **o), (*WALK, *KEYS, "limit")),
    "v3.call_tail": (lambda b24, o: b24.actions.v3.call_tail.make("main.eventlog.tail", **o), TAIL),
    "v3.fetch_tail": (lambda b24, o: b24.actions.v3.fetch_tail.make("main.eventlog.tail", **o), TAIL),
    "v3.aggregate": (
        lambda b24, o: b24.actions.v3.aggregate.make("main.eventlog.aggregate", select={"count": ["id"]}, **o),
        ("timeout", "request_id"),
    ),
    "ping": (lambda b24, o: b24.tools.ping.make(**o), ("request_id",)),
    "health_check": (lambda b24, o: b24.tools.health_check.make(**o), ("request_id",)),
    "init_is_admin": (lambda b24, o: b24.init_is_admin(**o), ("request_id",)),
    "discover_v3_methods": (lambda b24, o: b24.discover_v3_methods(**o), ("request_id",)),
}


async def used(use: Any) -> None:
    if inspect.isawaitable(use):
        await use
    else:
        async for _ in use:
            pass


@pytest.mark.parametrize(("name", "option"), [(name, option) for name, (_, known) in USES.items() for option in known])
async def test_a_wrong_option_is_refused_by_name_before_anything_is_sent(name: str, option: str) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        for value in WRONG[option]:
            with pytest.raises((SdkError, ValueError), match=option) as caught:
                await used(USES[name][0](b24, {option: value}))
            assert isinstance(caught.value, SdkError)
            assert " must be " in str(caught.value) or option == "idempotency_key"
    assert not portal.requests


@pytest.mark.parametrize("name", [name for name, (_, known) in USES.items() if len(known) > 2])
async def test_none_leaves_an_option_out(name: str) -> None:
    portal = fake_portal(rows={"crm.deal": 3, "tasks.task": 3})
    portal.method("main.x.add", lambda _: 1)
    use, known = USES[name]
    async with connected(portal) as b24:
        await used(use(b24, dict.fromkeys(known)))
    assert portal.requests


@pytest.mark.parametrize("method", [123, None, "", " ", b"profile", ["profile"], "crm.deal.get?x=1", "../x"])
@pytest.mark.parametrize("action", ["call", "call_list", "fetch_list", "batch", "batch_by_chunk"])
async def test_a_wrong_method_is_refused(method: Any, action: str) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        make = getattr(b24.actions.v2, action).make
        with pytest.raises(SdkError, match="method"):
            await used(make([(method,)] if action.startswith("batch") else method))
    assert not portal.requests


@pytest.mark.parametrize("params", ["x", 5, {1}, b"x", True, object(), 1.5])
@pytest.mark.parametrize("action", ["call", "call_list", "fetch_list"])
async def test_wrong_parameters_are_refused(params: Any, action: str) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        with pytest.raises(SdkError, match=r"arameters must be|params must be"):
            await used(getattr(b24.actions.v2, action).make("crm.deal.list", params))
    assert not portal.requests


@pytest.mark.parametrize(
    "calls",
    [
        "profile",
        ["profile"],
        ("profile", {}),
        {"a": "profile"},
        [("profile", 5)],
        None,
        5,
        [None],
        [("profile", {}, 3)],
    ],
)
@pytest.mark.parametrize("action", ["batch", "batch_by_chunk"])
async def test_what_is_no_list_of_commands_is_refused(calls: Any, action: str) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        for actions in (b24.actions.v2, b24.actions.v3):
            with pytest.raises(SdkError, match=r"(?i)batch|command|row"):
                await getattr(actions, action).make(calls)
    assert not portal.requests


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_bytes", "5"),
        ("max_bytes", -1),
        ("timeout", "5"),
        ("timeout", 0),
        ("on_progress", "5"),
        ("request_id", 5),
    ],
)
async def test_a_wrong_option_of_a_download_is_refused(option: str, value: Any, tmp_path: Path) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        with pytest.raises(SdkError, match=option):
            await b24.download(1, tmp_path / "file", **{option: value})
    assert not portal.requests
    assert not names(tmp_path)


async def test_wrong_arguments_of_a_client_s_own_methods_are_refused() -> None:
    async with connected(fake_portal()) as b24:
        http = b24.get_http_client("v2")  # type: ignore[arg-type]
        wrong: list[tuple[str, Callable[[], Any]]] = [
            ("version", lambda: b24.get_http_client("v9")),  # type: ignore[arg-type]
            ("version", lambda: b24.set_http_client("v9", http)),  # type: ignore[arg-type]
            ("client", lambda: b24.set_http_client("v2", "x")),  # type: ignore[arg-type]
            ("logger", lambda: b24.set_logger("x")),  # type: ignore[arg-type]
            ("set_params", lambda: b24.auth.set_params({})),  # type: ignore[arg-type]
        ]
        for name, use in wrong:
            with pytest.raises(SdkError, match=f"{name}.* must |{name} takes"):
                use()
        before = b24.get_restriction_manager_params()
        with pytest.raises(SdkError, match="RestrictionParams"):
            await b24.set_restriction_manager_params({})  # type: ignore[arg-type]
        assert b24.get_restriction_manager_params() is before


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (RestrictionParams, "max_retries", "x"),
        (RestrictionParams, "max_retries", True),
        (RestrictionParams, "retry_delay", "x"),
        (RestrictionParams, "rate_limit", {}),
        (RestrictionParams, "operating_limit", None),
        (RestrictionParams, "adaptive_config", 5),
        (RestrictionParams, "hard_error_codes", 5),
        (RestrictionParams, "hard_error_codes", [5]),
        (RestrictionParams, "soft_error_codes", [""]),
        (RestrictionParams, "retry_on_network_error", "x"),
        (RateLimitConfig, "burst_limit", "5"),
        (RateLimitConfig, "burst_limit", True),
        (RateLimitConfig, "drain_rate", 0),
        (RateLimitConfig, "adaptive_enabled", "x"),
        (OperatingLimitConfig, "window", float("nan")),
        (AdaptiveConfig, "enabled", "x"),
        (AdaptiveConfig, "coefficient", float("nan")),
    ],
)
def test_a_wrong_limit_is_refused(kind: Any, field: str, value: Any) -> None:
    with pytest.raises(SdkError, match=rf"{kind.__name__}.*{field} must be "):
        kind(**{field: value})


def test_limits_are_of_their_types() -> None:
    with pytest.raises(SdkError, match="RestrictionParams"):
        RestrictionManager({})  # type: ignore[arg-type]
    with pytest.raises(SdkError, match="plan must be"):
        ParamsFactory.from_tariff_plan(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("expires", 1_700_003_600_000),
        ("expires", -5),
        ("access_token", " "),
        ("refresh_token", "\t"),
        ("client_endpoint", "https://portal.example"),
        ("client_endpoint", "https://portal.example/"),
        ("client_endpoint", "https://portal.example//"),
        ("client_endpoint", "portal.example"),
        ("server_endpoint", "https://elsewhere.example/rest/"),
    ],
)
async def test_a_pair_that_cannot_be_used_is_refused(field: str, value: Any) -> None:
    portal = fake_portal()
    pair = attrs.evolve(portal.issue(), **{field: value})
    with pytest.raises(ConfigurationError, match=field):
        B24OAuth(pair, portal.secret)
    async with connected(portal) as b24:
        before = b24.auth.get_params()
        with pytest.raises(ConfigurationError, match=field):
            b24.auth.set_params(pair)
        assert b24.auth.get_params() is before
    assert not portal.requests


@pytest.mark.parametrize("root", ["https://portal.example/rest", "https://portal.example/company/api/"])
def test_a_rest_root_may_have_any_path(root: str) -> None:
    B24OAuth(attrs.evolve(fake_portal().issue(), client_endpoint=root), secret())


@pytest.mark.parametrize(
    "endpoint", ["https://portal.example", "nowhere", "http://portal.example/rest/", "https://a b/"]
)
async def test_an_unusable_endpoint_of_a_response_or_a_stored_pair_keeps_the_old_one(endpoint: str) -> None:
    portal, store = fake_portal(), MemoryStore()
    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        issued = portal.issue()
        renewed = {"access_token": issued.access_token, "refresh_token": issued.refresh_token}
        b24.set_custom_refresh_auth(lambda: {**renewed, "client_endpoint": endpoint})  # type: ignore[typeddict-item]
        assert (await b24.actions.v2.call.make("profile")).is_success
        assert b24.auth.get_params().client_endpoint == portal.client_endpoint
        portal.expire_tokens()
        await put(store, attrs.evolve(portal.issue(), client_endpoint=endpoint, expires=1_700_003_600_000))
        assert (await b24.actions.v2.call.make("profile")).is_success
        after = b24.auth.get_params()
        assert after.client_endpoint == portal.client_endpoint
        assert after.expires < 10**11
