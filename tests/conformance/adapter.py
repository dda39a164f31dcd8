"""Replays recordings of the reference through the public API: translates names, controls the clock, skips sleeps.

    CAN                           what it can do beyond the ordinary
    await run(vector, origin)     the outcome of every step, in the reference's names

It knows no single recording. Where the library follows a better rule than the reference by default, the adapter asks
for the recorded one, as a user would: repeats after a lost answer of a write (`retry_on_network_error=True`), one try
for a renewal (`refresh_attempts=1`), lists by identifier with a page a request (`paging="keyset"`,
`pages_per_request=1`), references that are plain text (`allow_text_references=True`); and since the reference does not
remember that a pair was refused for good, it hands the pair anew before each step.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import attrs
import httpx

import b24oauth
import b24oauth.error_codes
import b24oauth.errors
import b24oauth.limits
import b24oauth.models
import b24oauth.observing
import b24oauth.protocol.decoding
import b24oauth.protocol.endpoints
import b24oauth.redaction
import b24oauth.result
from b24oauth import ApiVersion, B24OAuth, B24OAuthParams, B24OAuthSecret, RefreshTokenError, SdkError
from b24oauth.testing import VirtualClockLoop

CAN = {"clock"}

_DURATIONS = {"window_ms": "window", "limit_ms": "limit"}
_IN_MILLISECONDS = {"window", "limit", "max_delay", "retry_delay"}
_CONFIGS = {
    "rate_limit": b24oauth.RateLimitConfig,
    "operating_limit": b24oauth.limits.OperatingLimitConfig,
    "adaptive_config": b24oauth.limits.AdaptiveConfig,
}
_OPERATORS = {"in": "in_", "and": "and_", "or": "or_", "not": "not_"}
_SHORTEST_WAIT = 0.001


async def run(vector: dict[str, Any], origin: str) -> dict[str, Any]:
    """Plays the steps of a recording in an event loop of its own, whose time can be skipped."""
    del origin  # filled in already

    def play() -> dict[str, Any]:
        with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
            return runner.run(Replay(vector).play())

    return await asyncio.to_thread(play)


# --- names -----------------------------------------------------------------------------------------------------------


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match.group(1).lower(), name)


def camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match.group(1).upper(), name)


def ours(code: str) -> str:
    return re.sub(r"^JSSDK_", "B24OAUTH_", code)


def theirs(code: str) -> str:
    return re.sub(r"^B24OAUTH_", "JSSDK_", code)


def to_params(data: Mapping[str, Any]) -> B24OAuthParams:
    return B24OAuthParams.from_dict({snake(name): value for name, value in data.items()})


def from_params(params: B24OAuthParams) -> dict[str, Any]:
    return {camel(name): value for name, value in params.to_dict().items()}


def to_restriction(data: Mapping[str, Any], base: b24oauth.RestrictionParams) -> b24oauth.RestrictionParams:
    changes: dict[str, Any] = {}
    for name, value in ((snake(key), value) for key, value in data.items()):
        if name in _CONFIGS:
            fields = {_DURATIONS.get(snake(key), snake(key)): part for key, part in value.items()}
            changes[name] = _CONFIGS[name](**{key: _seconds(key, part) for key, part in fields.items()})
        else:
            changes[name] = _seconds(name, value)
    return attrs.evolve(base, **changes)


def from_restriction(params: b24oauth.RestrictionParams) -> dict[str, Any]:
    names = {ours_: theirs_ for theirs_, ours_ in _DURATIONS.items()}
    plain: dict[str, Any] = {}
    for name, value in attrs.asdict(params).items():
        if name in _CONFIGS:
            plain[camel(name)] = {camel(names.get(key, key)): _milliseconds(key, part) for key, part in value.items()}
        elif name == "retry_on_network_error":
            plain[camel(name)] = value is not False  # None repeats too, if only what may be repeated
        elif value != () and name != "share":
            plain[camel(name)] = _milliseconds(name, value)
    return plain


def _seconds(name: str, value: Any) -> Any:
    return value / 1000 if name in _IN_MILLISECONDS else value


def _milliseconds(name: str, value: Any) -> Any:
    return value * 1000 if name in _IN_MILLISECONDS else value


# --- outcomes --------------------------------------------------------------------------------------------------------


def error_view(error: BaseException) -> dict[str, Any]:
    if not isinstance(error, SdkError):
        return {"class": "Error", "message": str(error)}
    view = {"class": class_of(error), "code": theirs(error.code), "status": error.status, "message": error.message}
    validation = getattr(error, "validation", None)
    return view | ({"validation": list(validation)} if validation else {})


def class_of(error: SdkError) -> str:
    if isinstance(error, b24oauth.AjaxError):
        return "AjaxError"
    # The reference keeps this class for what the OAuth server said; for its own codes it raises the base class.
    return (
        "RefreshTokenError" if isinstance(error, RefreshTokenError) and theirs(error.code) == error.code else "SdkError"
    )


def error_details(error: SdkError) -> dict[str, Any]:
    classes = {"Error": True, "SdkError": True}
    classes |= {"AjaxError": class_of(error) == "AjaxError", "RefreshTokenError": isinstance(error, RefreshTokenError)}
    info = getattr(error, "request_info", None)
    validation = getattr(error, "validation", None)
    return {
        "jsonKeys": sorted(camel(name) for name in error.to_dict()),
        "isInstanceOf": [name for name, holds in classes.items() if holds],
        "requestInfo": info and {"method": info.method, "params": info.params, "requestId": info.request_id},
        "validation": validation and list(validation),
    }


def result_view(result: Any) -> dict[str, Any]:
    errors = {key: error_view(error) for key, error in result.get_errors_by_key().items()}
    view = {"isSuccess": result.is_success, "errors": errors, "errorMessages": result.get_error_messages()}
    data = copy.deepcopy(result.get_data())  # callers may change it afterwards
    if isinstance(result, b24oauth.AjaxResult):
        plain = None if data is None else {"result": data.result, "time": data.time}
        return {"type": "AjaxResult", "status": result.status, "data": plain} | view
    return {"type": "Result", "data": rows_view(data)} | view


def rows_view(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: rows_view(value) for key, value in data.items()}
    if isinstance(data, list):
        return [rows_view(value) for value in data]
    return result_view(data) if isinstance(data, b24oauth.AjaxResult) else data


def maybe_await(value: Any) -> dict[str, Any]:
    if isinstance(value, (b24oauth.Result, b24oauth.AjaxResult)):
        return result_view(value)
    if isinstance(value, b24oauth.AuthData):
        return {"value": value.to_dict()}
    if isinstance(value, Stream):
        view = {"type": "Stream", "chunks": value.chunks}
        return view if value.error is None else view | {"throws": error_view(value.error)}
    return {"value": value}


@attrs.define
class Stream:
    chunks: list[Any] = attrs.field(factory=list)
    error: Exception | None = None


class RecordingLogger:
    """Keeps records; fails after keeping when it is told to."""

    def __init__(self, fails: str | None) -> None:
        self.records: list[dict[str, Any]] = []
        self._fails = fails

    def __getattr__(self, level: str) -> Callable[..., None]:
        if level not in ("debug", "info", "warning", "error"):
            raise AttributeError(level)
        return lambda message, *, extra: self._keep(level, message, extra)

    def _keep(self, level: str, message: str, extra: dict[str, Any]) -> None:
        shown = {camel(name): value for name, value in extra.items()}
        self.records.append({"level": level, "message": message, "keys": list(shown), "shown": shown})
        if self._fails:
            raise RuntimeError("logger is broken")


async def _batch_as_recorded(request: httpx.Request) -> None:
    """A v3 batch is a bare list with the token in a header; the reference sends numbered keys beside the token."""
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    commands = json.loads(request.content) if bearer else None
    if isinstance(commands, list):
        body = {str(position): command for position, command in enumerate(commands)} | {"auth": bearer}
        raw = json.dumps(body).encode()
        request.stream = httpx.ByteStream(raw)
        request.headers["content-length"] = str(len(raw))
        del request.headers["authorization"]


# --- steps -----------------------------------------------------------------------------------------------------------


class Replay:
    def __init__(self, vector: Mapping[str, Any]) -> None:
        self.vector = vector
        self.params: dict[str, Any] | None = vector.get("params")
        self.secret: dict[str, Any] = vector.get("secret") or {}
        self.restriction: dict[str, Any] = vector.get("restriction") or {}
        self.clients: list[B24OAuth] = []
        self.values: list[Any] = []
        self.callbacks: list[dict[str, Any]] = []
        self.logger: RecordingLogger | None = None
        self.advanced = 0.0

    @property
    def loop(self) -> VirtualClockLoop:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualClockLoop)
        return loop

    @property
    def b24(self) -> B24OAuth:
        return self.clients[-1]

    async def play(self) -> dict[str, Any]:
        # The recorded server closes connections; a kept one would look like something to wait for.
        limits = httpx.Limits(max_keepalive_connections=0)
        hooks = {"request": [_batch_as_recorded]}
        async with httpx.AsyncClient(limits=limits, event_hooks=hooks) as self.http:
            if self.params is not None:
                self.open_client()
            outcome = [await self.step(step) for step in self.vector["steps"]]
            after = self.after()
            for client in self.clients:
                with contextlib.suppress(b24oauth.TokenPersistenceError):
                    await client.aclose()
        return {"outcome": outcome, "after": after}

    def open_client(self) -> None:
        assert self.params is not None
        loop, start = self.loop, self.vector["nowMs"] / 1000
        base = attrs.evolve(b24oauth.ParamsFactory.get_default(), retry_on_network_error=True)
        plain = {host for host in map(_plain_http_host, self.params.values()) if host}
        client = B24OAuth(
            to_params(self.params),
            B24OAuthSecret.from_dict({snake(name): value for name, value in self.secret.items()}),
            restriction_params=to_restriction(self.restriction, base),
            http_client=self.http,
            timeout=(self.vector.get("timeoutMs") or 30_000) / 1000,
            trusted_oauth_hosts=b24oauth.protocol.endpoints.DEFAULT_OAUTH_HOSTS | plain,
            refresh_attempts=1,
            clock=lambda: start + sum(loop.jumps) + self.advanced,
        )
        self.clients.append(client)

    def after(self) -> dict[str, Any]:
        waits = [round(seconds * 1000, 4) for seconds in self.loop.jumps if seconds > _SHORTEST_WAIT]
        after: dict[str, Any] = {"callback": self.callbacks, "waitsMs": waits}
        if self.clients:
            data = self.b24.auth.get_auth_data()
            after["authData"] = False if data is None else data.to_dict()
        return after | ({"log": self.logger.records} if self.logger else {})

    async def step(self, step: Mapping[str, Any]) -> dict[str, Any]:
        if step["do"] == "concurrent":
            return {"concurrent": await asyncio.gather(*(self.step(inner) for inner in step["args"]["steps"]))}
        self.forget_refusal()
        try:
            value = await self.do(step["do"], dict(step.get("args") or {}), step)
        except NotImplementedError:
            raise
        except Exception as error:  # noqa: BLE001 - what a step throws is its outcome
            self.values.append(error)
            return {"throws": error_view(error)}
        self.values.append(value)
        return maybe_await(value)

    def forget_refusal(self) -> None:
        unsaved = any(isinstance(value, b24oauth.TokenPersistenceError) for value in self.values)
        if self.clients and not unsaved and self.b24.auth.get_auth_data() is None:
            self.b24.auth.set_params(self.b24.auth.get_params())

    async def do(self, name: str, args: dict[str, Any], step: Mapping[str, Any]) -> Any:
        if name.startswith("actions."):
            return await self.action(name, args, step.get("stopAfter"))
        plain: Callable[..., Any] | None = getattr(self, "do_" + snake(name).replace(".", "_"), None)
        if plain is None:
            raise NotImplementedError(name)
        value = plain(step["on"], **args) if "on" in step else plain(**args)
        return await value if asyncio.iscoroutine(value) else value

    async def action(self, name: str, args: dict[str, Any], stop_after: int | None) -> Any:
        *path, _ = snake(name).split(".")
        target: Any = self.b24
        for part in path:
            target = getattr(target, part, None)
            if target is None:
                raise NotImplementedError(name)
        args |= args.pop("options", {})
        words = {snake(key): value for key, value in args.items()}
        positional = [words.pop(key) for key in ("calls", "method") if key in words]
        if "params" in words or "method" in args:
            positional.append(_self_reference(words.pop("params", None)))
        if "calls" in args and "v2" in path:
            positional[0] = _booleans_as_words(positional[0])
        words |= _recorded_rules(path)
        made = target.make(*positional, **words)
        return await _read(made, stop_after) if hasattr(made, "__aiter__") else await made

    # --- the client

    async def do_tools_ping_make(self, requestId: str | None = None) -> float:
        seconds = await self.b24.tools.ping.make(request_id=requestId)
        return seconds * 1000 if seconds >= 0 else seconds

    async def do_tools_health_check_make(self, requestId: str | None = None) -> bool:
        return await self.b24.tools.health_check.make(request_id=requestId)

    async def do_init_is_admin(self, requestId: str | None = None) -> None:
        await self.b24.init_is_admin(requestId)

    def do_auth_is_admin(self) -> bool:
        return self.b24.auth.is_admin

    def do_auth_get_auth_data(self) -> Any:
        return self.b24.auth.get_auth_data() or False

    async def do_auth_refresh_auth(self) -> Any:
        return await self.b24.auth.refresh_auth()

    def do_auth_get_uniq(self, prefix: str) -> str:
        return self.b24.auth.get_uniq(prefix)

    def do_auth_domain(self) -> str:
        data = self.b24.auth.get_auth_data()
        assert data is not None
        return data.domain

    def do_get_target_origin(self) -> str:
        return self.b24.get_target_origin()

    def do_get_target_origin_with_path(self) -> dict[str, str]:
        return {str(version): url for version, url in self.b24.get_target_origin_with_path().items()}

    def do_given_params(self) -> dict[str, Any]:
        given = to_params(self.vector["params"])
        return {name: value for name, value in from_params(given).items() if name in self.vector["params"]}

    def do_set_callback_refresh_auth(
        self, name: str | None = None, throws: str | None = None, mutate: dict[str, Any] | None = None
    ) -> None:
        async def callback(refreshed: b24oauth.models.RefreshedAuth) -> None:
            self.vector["mark"]("callback")
            params = refreshed.b24_oauth_params
            seen = {"authData": refreshed.auth_data.to_dict(), "params": from_params(params)}
            self.callbacks.append(({"name": name} if name else {}) | seen)
            for key, value in (mutate or {}).items():
                with contextlib.suppress(attrs.exceptions.FrozenInstanceError):
                    setattr(params, snake(key), value)
            if throws:
                raise RuntimeError(throws)

        self.b24.set_callback_refresh_auth(callback)

    def do_remove_callback_refresh_auth(self) -> None:
        self.b24.remove_callback_refresh_auth()

    def do_set_custom_refresh_auth(
        self, returns: Any = None, throws: str | None = None, throwsNonError: Any = None
    ) -> None:
        async def custom() -> Any:
            self.vector["mark"]("customRefresh")
            if throws or throwsNonError:
                raise RuntimeError(throws or throwsNonError)
            return returns

        self.b24.set_custom_refresh_auth(custom)

    def do_remove_custom_refresh_auth(self) -> None:
        self.b24.remove_custom_refresh_auth()

    async def do_set_restriction_manager_params(self, **args: Any) -> None:
        params = to_restriction(args.get("params", args), self.b24.get_restriction_manager_params())
        await self.b24.set_restriction_manager_params(params)

    def do_get_restriction_manager_params(self, version: str = "v2") -> dict[str, Any]:
        del version  # both share one
        return from_restriction(self.b24.get_restriction_manager_params())

    def do_http_get_stats(self, version: str, fields: list[str]) -> dict[str, Any]:
        stats = self.b24.get_http_client(ApiVersion(version)).get_stats()
        known = attrs.asdict(stats, recurse=False) | attrs.asdict(stats.limits, recurse=False)
        known["by_method"] = {method: counted.count for method, counted in stats.by_method.items()}
        return {field: known[snake(field)] for field in fields}

    def do_http_reset(self, version: str) -> None:
        self.b24.get_http_client(ApiVersion(version)).reset()

    def do_new_client(
        self, params: Any = None, dropParams: Any = (), secret: Any = None, restriction: Any = None
    ) -> None:
        changed = {**(self.params or self.vector["params"]), **(params or {})}
        self.params = {name: value for name, value in changed.items() if name not in dropParams}
        self.secret = {**self.secret, **(secret or {})}
        self.restriction = {**self.restriction, **(restriction or {})}
        self.open_client()

    def do_set_logger(self, fails: str | None = None) -> None:
        self.logger = RecordingLogger(fails)
        self.b24.set_logger(self.logger)

    def do_advance_clock(self, ms: float) -> None:
        self.loop.advance(ms / 1000)
        self.advanced += ms / 1000

    # --- results

    def do_result_is_more(self, on: int) -> bool:
        return self.values[on].is_more()

    def do_result_get_total(self, on: int) -> int:
        return self.values[on].get_total()

    async def do_result_get_next(self, on: int, version: str) -> Any:
        return await self.values[on].get_next(self.b24.get_http_client(ApiVersion(version))) or False

    def do_result_get_query(self, on: int) -> dict[str, Any]:
        return _query_view(self.values[on])

    def do_result_set_data(self, on: int, data: Any = None) -> None:
        self.values[on].set_data(data)

    def do_result_to_string(self, on: int) -> str:
        return str(self.values[on])

    def do_result_get_error_messages_by_key(self, on: int) -> dict[str, str]:
        return self.values[on].get_error_messages_by_key()

    def do_result_view(self, on: int, keys: list[str] | None = None) -> dict[str, Any]:
        result = self.values[on]
        return {
            "isSuccess": result.is_success,
            "data": rows_view(result.get_data()),
            "errorMessages": result.get_error_messages(),
            "errorMessagesByKey": result.get_error_messages_by_key(),
            "hasError": [result.has_error(key) for key in keys or ()],
            "string": str(result),
        }

    def do_result_try_modify(self, on: int, path: list[str]) -> Any:
        data = self.values[on].get_data()
        target: Any = {"result": data.result, "time": data.time}
        for part in path[:-1]:
            target = target[part]
        target[path[-1]] = "changed"
        return {"result": data.result, "time": data.time}

    def do_rows_is_more(self, on: int) -> Any:
        return _each_row(self.values[on], lambda row: row.is_more())

    def do_rows_get_total(self, on: int) -> Any:
        return _each_row(self.values[on], lambda row: row.get_total())

    def do_rows_get_query(self, on: int) -> Any:
        return _each_row(self.values[on], _query_view)

    def do_error_view(self, on: int) -> dict[str, Any]:
        return error_details(self.values[on])

    # --- pure helpers

    def do_filter_v3(self, expr: Any) -> Any:
        return _filter(expr)

    def do_batch_ref_v3_ref(self, path: Any) -> Any:
        return b24oauth.BatchRefV3.ref(path)

    def do_batch_ref_v3_ref_array(self, path: Any) -> Any:
        return b24oauth.BatchRefV3.ref_array(path)

    def do_params_factory(self, preset: str = "", plan: str = "") -> dict[str, Any]:
        factory = b24oauth.ParamsFactory
        return from_restriction(getattr(factory, snake(preset))() if preset else factory.from_tariff_plan(plan))

    def do_error_codes(self, list: str) -> Any:  # noqa: A002 - the recording's name
        codes = b24oauth.error_codes.HARD_ERROR_CODES if list == "hard" else b24oauth.error_codes.SOFT_ERROR_CODES
        return [theirs(code) for code in codes]

    def do_enum_app_status(self) -> dict[str, str]:
        return {status.name.title(): str(status) for status in b24oauth.EnumAppStatus}

    def do_sensitive_keys(self) -> Any:
        return list(b24oauth.redaction.SENSITIVE_KEYS)

    def do_redact(self, value: Any) -> Any:
        return b24oauth.redaction.redact(value)

    def do_truncate_for_log(self, value: Any = None) -> str:
        return b24oauth.observing.truncate_for_log(value)

    def do_result_new(self, data: Any = None, errors: Any = ()) -> Any:
        result = b24oauth.Result(data)
        for error in errors:
            text = error["message"]
            result.add_error(text if error.get("asString") else Exception(text), error.get("key"))
        return result

    def do_ajax_result_new(self, answer: Any, status: int = 200, query: Any = None) -> Any:
        asked = {snake(name): value for name, value in (query or {}).items()}
        asked = {"method": "", "params": {}, "request_id": ""} | asked
        return b24oauth.protocol.decoding.ajax_result(answer, query=b24oauth.result.AjaxQuery(**asked), status=status)

    def do_sdk_error_new(self, code: str, status: int, description: str = "Internal error") -> Any:
        return error_details(SdkError(description, code=ours(code), status=status))

    def do_ajax_error_new(
        self, code: str, status: int, description: str = "", requestInfo: Any = None, **_: Any
    ) -> Any:
        info = {snake(name): value for name, value in (requestInfo or {}).items()}
        request_info = b24oauth.errors.RequestInfo(**info) if info else None
        return error_details(b24oauth.AjaxError(description, code=ours(code), status=status, request_info=request_info))


async def _read(made: AsyncIterator[Any], stop_after: int | None) -> Stream:
    stream = Stream()
    try:
        async with contextlib.aclosing(made) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                stream.chunks.append(chunk)
                if stop_after is not None and len(stream.chunks) >= stop_after:
                    break
    except Exception as error:  # noqa: BLE001 - what a stream throws is part of its outcome
        stream.error = error
    return stream


def _recorded_rules(path: list[str]) -> dict[str, Any]:
    """What a user asks for to get the reference's traffic."""
    rules: dict[str, dict[str, Any]] = {
        "batch": {"repeat_refused": False, "allow_text_references": True},
        "batch_by_chunk": {"repeat_refused": False, "allow_text_references": True, "concurrency": 1},
        "call_list": {"pages_per_request": 1, "paging": "keyset"},
        "fetch_list": {"pages_per_request": 1, "paging": "keyset"},
    }
    return rules.get(path[-1], {}) if "v2" in path or "batch" in path[-1] else {}


def _booleans_as_words(value: Any) -> Any:
    """In batch commands the reference writes true and false as words, which PHP reads as texts; ours as 1 and 0."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return {key: _booleans_as_words(part) for key, part in value.items()}
    return [_booleans_as_words(part) for part in value] if isinstance(value, list) else value


def _self_reference(params: Any) -> Any:
    if isinstance(params, dict) and params.get("$selfReference"):
        params = {}
        params["self"] = params
    return params


def _query_view(result: Any) -> dict[str, Any]:
    query = result.get_query()
    return {"method": query.method, "params": query.params, "requestId": query.request_id}


def _each_row(result: Any, view: Callable[[Any], Any]) -> Any:
    rows = result.get_data()
    return {key: view(row) for key, row in rows.items()} if isinstance(rows, dict) else [view(row) for row in rows]


def _filter(expr: Any) -> Any:
    if isinstance(expr, dict) and "call" in expr:
        make = getattr(b24oauth.FilterV3, _OPERATORS.get(expr["call"], snake(expr["call"])))
        return make(*map(_filter, expr.get("args", ())))
    return expr


def _plain_http_host(value: Any) -> str | None:
    found = re.match(r"http://([^/]+)", value) if isinstance(value, str) else None
    return found.group(1) if found else None


def load(path: Any) -> list[dict[str, Any]]:
    """The recordings of one family."""
    return json.loads(path.read_text(encoding="utf-8"))["vectors"]
