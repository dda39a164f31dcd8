"""The REST side of the fake portal: reads a request, checks token and limits, runs the method, wraps the answer."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from b24oauth.shapes import as_mapping, is_list, is_mapping
from b24oauth.testing.batch import run_v2_batch, run_v3_batch
from b24oauth.testing.brackets import parse_query
from b24oauth.testing.bucket import LeakyBucket, OperatingBudget
from b24oauth.testing.idempotency import IdempotentAnswers
from b24oauth.testing.messages import Answer, Call, Exchange, Reply, Request, RestError, Version, dumps
from b24oauth.testing.methods import Methods
from b24oauth.testing.payment import Payment
from b24oauth.testing.table import Table
from b24oauth.testing.tokens import TokenBook

__all__ = ["RestServer"]

_KEY_HEADER = "idempotency-key"


@attrs.define(eq=False, kw_only=True)
class RestServer:
    """Answers REST requests of both versions.

    Attributes:
        now: The Unix time, seconds.
        tokens: The tokens that exist.
        payment: How the application is paid for.
        bucket: The budget of requests.
        operating: The budget of operating time.
        methods: The handlers by version and method.
        tables: The rows, restored when a v3 batch fails.
        latency: Seconds that each request takes.
        command_latency: Seconds that each method takes.
        count_latency: Seconds more for each 1,000 rows that it counts and skips.
        dumps: Writes the JSON text of an answer.
        calls: How often each method was called, inside batches too.
        executed: How often each method was run to its end.
    """

    now: Callable[[], float]
    tokens: TokenBook
    payment: Payment
    bucket: LeakyBucket
    operating: OperatingBudget
    methods: Methods
    tables: Mapping[str, Table]
    latency: float = 0.0
    command_latency: float = 0.0
    count_latency: float = 0.0
    dumps: Callable[[object], bytes] = dumps
    calls: Counter[str] = attrs.field(init=False, factory=Counter[str])
    executed: Counter[str] = attrs.field(init=False, factory=Counter[str])
    _running: set[asyncio.Future[Reply]] = attrs.field(init=False, factory=set["asyncio.Future[Reply]"])
    # How long all methods took together, and the last one, seconds.
    _spent: float = attrs.field(init=False, default=0.0)
    _last: float = attrs.field(init=False, default=0.0)
    _replays: IdempotentAnswers = attrs.field(
        init=False, default=attrs.Factory(lambda self: IdempotentAnswers(now=self.now), takes_self=True)
    )

    async def answer(self, exchange: Exchange, version: Version) -> Answer:
        """Answers one request, with an error where it must be refused, and notes how long its methods take."""
        # What was spent before this request, until it has ended.
        exchange.seconds = self._spent
        answer = await self._answer(exchange, version)
        exchange.seconds = self._spent - exchange.seconds
        return answer

    async def _answer(self, exchange: Exchange, version: Version) -> Answer:
        try:
            self.bucket.admit()
            token, params = _read(exchange.request, version)
            exchange.params, exchange.token = params, self.tokens.label(token)
            hook = exchange.webhook
            session = self.tokens.session(token) if hook is None else self.tokens.webhook_session(*hook)
            if hook is None:
                self.payment.check(status=401)
            call = Call(
                method=exchange.method,
                version=version,
                params=dict(as_mapping(params)),
                user_id=session.user_id,
                positional=bool(exchange.request.query),
                auth="" if "authorization" in exchange.request.headers else token or "",
                hook=hook,
            )
            return self._replayed(exchange, call) or await self._run(exchange, call)
        except RestError as error:
            return self._refusal(exchange, version, error)

    async def execute(self, call: Call) -> Reply:
        """Runs one call, plain or inside a batch.

        Raises:
            RestError: There is no such method, its budget is used up, or it refuses the parameters.
        """
        self.calls[call.method] += 1
        handler = self.methods.get((call.version, call.method))
        if handler is None:
            raise RestError("ERROR_METHOD_NOT_FOUND", "Method not found!", status=404)
        self.operating.admit(call.method)
        self._last = self.command_latency
        self._spent += self._last
        reply = handler(call)
        if not isinstance(reply, Reply):
            reply = await self._to_its_end(reply)
        if reply.counted:
            counting = reply.counted / 1_000 * self.count_latency
            self._last += counting
            self._spent += counting
        self.executed[call.method] += 1
        self.operating.charge(call.method)
        return reply

    async def _run(self, exchange: Exchange, call: Call) -> Answer:
        reply = await (self._batch(exchange, call) if call.method == "batch" else self.execute(call))
        if reply.bare:
            return Answer(status=200, body=self.dumps(reply.result))
        body: dict[str, Any] = {"result": reply.result}
        if reply.next is not None:
            body["next"] = reply.next
        if reply.total is not None:
            body["total"] = reply.total
        body["time"] = self._time(call.method, exchange)
        answer = Answer(status=200, body=self.dumps(body))
        if call.version == "v3" and (key := exchange.request.headers.get(_KEY_HEADER)):
            self._replays.keep(call, key, exchange.params, answer)
        return answer

    async def _to_its_end(self, running: Awaitable[Reply]) -> Reply:
        """What an async handler returns. A client that gives up does not stop it, as it does not stop a portal."""
        task = asyncio.ensure_future(running)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    def _replayed(self, exchange: Exchange, call: Call) -> Answer | None:
        key = exchange.request.headers.get(_KEY_HEADER)
        return self._replays.find(call, key, exchange.params) if key and call.version == "v3" else None

    async def _batch(self, exchange: Exchange, call: Call) -> Reply:
        self.calls["batch"] += 1
        if call.version == "v2":
            return await run_v2_batch(call, self.execute, lambda method: self._command_time(method, exchange))
        snapshots = [(table, table.snapshot()) for table in self.tables.values()]
        try:
            return await run_v3_batch(call, exchange.params, self.execute)
        except RestError:
            for table, snapshot in snapshots:
                table.restore(snapshot)
            raise

    def _refusal(self, exchange: Exchange, version: Version, error: RestError) -> Answer:
        body: dict[str, Any] = _v2_error(error) if version == "v2" else _v3_error(error)
        if error.status == 429:
            body["time"] = self._time(exchange.method, exchange)
        return Answer(status=error.status, body=self.dumps(body))

    def _time(self, method: str, exchange: Exchange) -> dict[str, Any]:
        """The `time` of a whole response."""
        seconds = self.latency + self._spent - exchange.seconds
        return self._facts(method, exchange.arrived, self.now() + seconds)

    def _command_time(self, method: str, exchange: Exchange) -> dict[str, Any]:
        """The `time` of the command of a batch that has just run."""
        finished = self.now() + self._spent - exchange.seconds
        return self._facts(method, finished - self._last, finished)

    def _facts(self, method: str, started: float, finish: float) -> dict[str, Any]:
        return {
            "start": started,
            "finish": finish,
            "duration": finish - started,
            "processing": finish - started,
            "date_start": _iso(started),
            "date_finish": _iso(finish),
            "operating_reset_at": self.operating.reset_at(method),
            "operating": self.operating.used(method),
        }


def _v2_error(error: RestError) -> dict[str, Any]:
    return {"error": error.code, "error_description": error.text}


def _v3_error(error: RestError) -> dict[str, Any]:
    detail: dict[str, Any] = {"code": error.code, "message": error.text}
    if error.validation:
        detail["validation"] = [{"message": error.text, "field": field} for field in error.validation]
    return {"error": detail}


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def _read(request: Request, version: Version) -> tuple[str | None, Any]:
    """The token and the parameters without it."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    body = _body(request, version)
    if not is_mapping(body):
        return (bearer if scheme.lower() == "bearer" else None), body
    params = {**_query_params(request.query), **body}
    token = params.pop("auth", None)
    return (bearer if scheme.lower() == "bearer" else token), params


def _body(request: Request, version: Version) -> Any:
    if not request.body:
        return {}
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return parse_query(request.body.decode("utf-8", "replace"))
    try:
        body: Any = json.loads(request.body)
    except ValueError:
        raise RestError("INVALID_REQUEST", "The body is neither JSON nor a form.") from None
    if is_mapping(body) or (version == "v3" and is_list(body)):
        return body
    raise RestError("INVALID_REQUEST", "The body must be a JSON object.")


def _query_params(query: str) -> dict[str, Any]:
    # The usual query is telemetry only, which no method takes; a token in a query is not accepted here at all.
    if all(part.startswith("bx24_") for part in query.split("&")) or not query:
        return {}
    return {name: value for name, value in parse_query(query).items() if name != "auth" and name[:5] != "bx24_"}
