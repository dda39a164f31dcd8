"""The way of one call: admitted, sent with a valid token, understood, repeated when that is safe."""

from __future__ import annotations

import asyncio
import copy
import math
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import attrs

from b24oauth.errors import (
    AjaxError,
    ClientStateError,
    ConfigurationError,
    RefreshTokenError,
    RequestTimeoutError,
    TokenPersistenceError,
)
from b24oauth.limits.rate import Admission
from b24oauth.models import ApiVersion
from b24oauth.observing import Log
from b24oauth.protocol.decoding import RawResponse, decode_clean
from b24oauth.protocol.dialects import Dialect, is_plain_read
from b24oauth.rest.credentials import Grant
from b24oauth.rest.failures import nothing_sent, out_of_time, without_response
from b24oauth.rest.refusals import Refusals
from b24oauth.rest.reporting import CallReport
from b24oauth.rest.request import PreparedRequest, prepare
from b24oauth.rest.retry import (
    Next,
    RepeatRule,
    asked_pause,
    backoff,
    final_error,
    is_about_token,
    is_denial,
    is_returned,
    is_without_answer,
    next_step,
    rate_backoff_factor,
)
from b24oauth.rest.services import Services
from b24oauth.rest.stats import CallCounter, HttpStats
from b24oauth.result import AjaxQuery, AjaxResult
from b24oauth.wire import Deadline, NoResponse

__all__ = ["HttpClient", "TimesOf"]

# How often a call waits for execution time that others use up before it, lest it wait for ever on a clock that stands.
_MOST_WINDOWS: Final = 20

TimesOf = Callable[[Mapping[str, Any]], Mapping[str, Mapping[str, Any]]]


@attrs.define(eq=False)
class _Call:
    """How one call stands.

    Attributes:
        request: What is sent.
        report: Tells the observers about it.
        methods: Whose execution time it uses.
        rule: Whether it may be repeated.
        times_of: Finds the execution times of a batch's methods in its answer.
        renewed: True when a renewal was made for it.
        moved: True when it followed a redirect.
        may_have_run: True when it was sent without getting an answer.
        sent: False when the portal cannot have seen it the last time.
        attempts: How often it was begun to be sent.
        timeouts: How often a response was waited for in vain.
        admission: Its place in the portal's bucket the last time.
        ends: When it must be done, seconds of the loop's clock; infinite without a timeout.
        elapsed: Time from sending it the last time to its response, seconds.
        secrets: What no message about it may repeat.
    """

    request: PreparedRequest
    report: CallReport
    methods: tuple[str, ...]
    rule: RepeatRule
    times_of: TimesOf | None = None
    renewed: bool = False
    moved: bool = False
    may_have_run: bool = False
    sent: bool = False
    attempts: int = 0
    timeouts: int = 0
    admission: Admission | None = None
    ends: float = math.inf
    elapsed: float = 0.0
    secrets: tuple[str, ...] = attrs.field(default=(), repr=False)


@attrs.frozen(eq=False, repr=False)
class _PairFacts:
    """What is known of the token pair in use.

    Attributes:
        pair: The pair; None before the first call.
        base: The address that names of methods are appended to.
        secrets: What no message may repeat.
    """

    pair: Grant | None
    base: str
    secrets: tuple[str, ...]


class HttpClient:
    """Makes REST calls of one API version.

    Args:
        dialect: The version.
        services: What it shares with the other version.
    """

    def __init__(self, dialect: Dialect, services: Services) -> None:
        self._dialect = dialect
        self._services = services
        self._counter = CallCounter()
        self._succeeded_before_refusal = 0
        self._known = _PairFacts(None, "", ())
        self._max_attempts: int | None = None

    @property
    def api_version(self) -> ApiVersion:
        """The version this client speaks."""
        return self._dialect.version

    @property
    def log(self) -> Log:
        """The logger in use."""
        return self._services.log

    @property
    def max_attempts(self) -> int:
        """How often a call is sent, at most."""
        return self._services.limits.get_params().max_retries if self._max_attempts is None else self._max_attempts

    def with_max_attempts(self, most: int) -> HttpClient:
        """A view of this client whose calls are sent so often at most; everything else is shared.

        Args:
            most: How often, at least once.
        """
        view = copy.copy(self)
        view._max_attempts = most  # noqa: SLF001 - an object of the same class
        return view

    @property
    def response_timeout(self) -> float | None:
        """How long a request waits for a response, seconds; None: without a limit."""
        return self._services.wire.response_timeout

    def enter_loop(self) -> asyncio.AbstractEventLoop:
        """The running event loop, which is the only one this client may be used in.

        Raises:
            ClientStateError: When closed, or in another event loop than before.
        """
        return self._services.wire.enter_loop()

    def current_token(self) -> str:
        """The access token in use, valid or not, for telling whether it was renewed meanwhile."""
        token: str = self._services.credentials.params.access_token
        return token

    def max_new_requests(self, requests: int, under_way: int, seconds: float) -> int:
        """How many of a caller's requests can be of use now, as `RestrictionManager.max_new_requests` says."""
        return self._services.limits.max_new_requests(requests, under_way, seconds)

    def operation(self) -> AbstractContextManager[None]:
        """Something that takes several calls, which `aclose(drain=…)` lets go on.

        Raises:
            ClientStateError: The client is closed or about to be.
        """
        services = self._services
        services.wire.lifetime.check_beginning(within_renewal=services.credentials.is_inside())
        return services.wire.lifetime.operation()

    def refusals(self) -> Refusals:
        """What waits until commands of a batch that the portal refused for now may be sent again."""
        return Refusals(self._services)

    def get_stats(self) -> HttpStats:
        """What this client did so far, and what the portal's limits did."""
        return self._counter.stats(self._services.limits.get_stats())

    def reset(self) -> None:
        """Forgets the counts and what is known of the portal's limits."""
        self._counter.reset()
        self._succeeded_before_refusal = 0
        self._services.limits.reset()

    async def call(
        self,
        method: str,
        params: Mapping[str, Any] | Sequence[Any] | None = None,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
        idempotent: bool | None = None,
        idempotency_key: str | None = None,
        inner_methods: Sequence[str] = (),
        times_of: TimesOf | None = None,
        repeat_timeouts: bool = True,
    ) -> AjaxResult[Any]:
        """Makes one REST call.

        Args:
            method: REST method.
            params: Its parameters.
            request_id: Shown in the portal's log; generated by default.
            timeout: For everything, waiting, renewal and repeats included, seconds; None for no such limit.
            idempotent: True when the call may run twice; by default only plain reads may.
            idempotency_key: v3 only: the portal runs calls with the same key once; generated by default for writes.
            inner_methods: Methods inside of a batch, whose execution time it uses.
            times_of: Finds their execution times in the answer.
            repeat_timeouts: False when the caller handles timeouts of the response itself.

        Returns:
            The result; an error is inside of it when the portal answered it with HTTP 200 or its code is soft.

        Raises:
            AjaxError: The call failed; the class tells why.
            RefreshTokenError: The token pair could not be renewed.
            TokenPersistenceError: The renewed pair could not be saved.
            ClientStateError: The client is closed, or used in a second event loop.

        Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/general-principles.html
        """
        services = self._services
        loop, lifetime = services.wire.enter_loop(), services.wire.lifetime
        if not lifetime.is_open:
            lifetime.check_beginning(within_renewal=services.credentials.is_inside())
        query = AjaxQuery(
            method=method, params={} if params is None else params, request_id=request_id or str(uuid.uuid4())
        )
        call = self._prepare(
            query, idempotent, idempotency_key, inner_methods, times_of, repeat_timeouts=repeat_timeouts
        )
        if call.report.is_detailed:
            call.report.started()
        lifetime.under_way += 1
        started = loop.time()
        try:
            if timeout is None:
                return await self._attempts(call, loop, started)
            return await self._in_time(call, loop, started, timeout)
        except BaseException as error:
            call.report.failed(error, call.attempts, loop.time() - started)
            raise
        finally:
            lifetime.leave()

    async def _in_time(
        self, call: _Call, loop: asyncio.AbstractEventLoop, started: float, timeout: float
    ) -> AjaxResult[Any]:
        deadline, call.ends = Deadline(timeout), started + timeout
        try:
            async with deadline:
                return await self._attempts(call, loop, started)
        except TimeoutError as error:
            if isinstance(error, RequestTimeoutError) or not deadline.expired():
                raise
        raise final_error(out_of_time(call.request.query, timeout), call.rule, may_have_run=call.may_have_run)

    def _prepare(
        self,
        query: AjaxQuery,
        idempotent: bool | None,
        key: str | None,
        inner_methods: Sequence[str],
        times_of: TimesOf | None,
        *,
        repeat_timeouts: bool,
    ) -> _Call:
        request = prepare(query, self._dialect, idempotency_key=key)
        methods = tuple(inner_methods) or (request.query.method,)
        reads = all(map(is_plain_read, methods))
        if key is None and self._dialect.idempotency_key and not reads:
            key = str(uuid.uuid4())
            request = attrs.evolve(request, idempotency_key=key)
        harmless = reads if idempotent is None else idempotent
        params = self._services.limits.get_params()
        if self._max_attempts is not None:
            params = attrs.evolve(params, max_retries=self._max_attempts)
        rule = RepeatRule(
            params=params,
            harmless=harmless,
            keyed=key is not None,
            repeat_timeouts=repeat_timeouts,
        )
        report = CallReport(self._services.log, query, self._dialect.version)
        return _Call(request=request, report=report, methods=methods, rule=rule, times_of=times_of)

    # --- attempts ------------------------------------------------------------------------------------------------

    async def _attempts(self, call: _Call, loop: asyncio.AbstractEventLoop, started: float) -> AjaxResult[Any]:
        limits, method, report = self._services.limits, call.request.query.method, call.report
        most = call.rule.params.max_retries
        for attempt in range(most):
            call.attempts = attempt + 1
            if report.is_detailed:
                report.attempt_started(attempt + 1, most)
            budget_wait = limits.budget_wait(call.methods)
            if budget_wait > 0:
                report.throttled("operating", budget_wait)
                await self._services.pause(budget_wait)
            try:
                result = await self._send_with_token(call)
            except AjaxError as raised:
                error = raised
            except (RefreshTokenError, TokenPersistenceError, ClientStateError) as raised:
                if call.may_have_run and not call.rule.harmless:
                    raised.add_note(f"An earlier attempt of {method} may have been executed: look before you repeat it")
                raise
            else:
                duration = loop.time() - started
                self._counter.count(method, duration)
                limits.succeeded(method)
                if report.is_detailed or attempt:
                    report.attempt_finished(call.attempts, most, duration, result.status, None)
                    report.succeeded(call.attempts, duration, result.status)
                return result
            duration = loop.time() - started
            self._counter.count(method, duration, error.message)
            limits.failed(method)
            report.attempt_finished(attempt + 1, most, duration, error.status, error)
            pause = await self._pause_before_repeat(error, call, attempt)
            if pause is None:
                result = self._finish_failed(error, call)
                report.succeeded(attempt + 1, duration, error.status, error)
                return result
            report.retrying(error, attempt + 1, most, pause)
            await self._pause(pause, error, call)
            limits.repeated()
        raise nothing_sent(call.request.query)

    async def _pause(self, seconds: float, error: AjaxError, call: _Call) -> None:
        """Waits before the call is repeated. Once the client is closed, what became of a write counts more."""
        try:
            await self._services.pause(seconds)
        except ClientStateError as closed:
            told = final_error(error, call.rule, may_have_run=call.may_have_run)
            if told is error:
                raise
            told.add_note(closed.message)
        else:
            return
        raise told

    async def _pause_before_repeat(self, error: AjaxError, call: _Call, attempt: int) -> float | None:
        """Seconds to wait before the call is repeated, or None when it is not."""
        limits, params = self._services.limits, call.rule.params
        step = next_step(error, call.rule, sent=call.sent, timeouts=call.timeouts)
        last = attempt + 1 >= params.max_retries
        asked = asked_pause(error, params)
        if step is Next.WAIT_FOR_RATE:
            # Told even when this call is at its end: the others must slow down.
            pause = await limits.rate.refused(call.admission, retry_after=asked or 0.0) * rate_backoff_factor(attempt)
        elif step is Next.WAIT_FOR_BUDGET:
            pause = max(limits.operating.refused(method, retry_after=asked or 0.0) for method in call.methods)
        elif step is Next.BACK_OFF:
            jitter = random.uniform(-1, 1)  # noqa: S311 - no secret depends on this randomness
            pause = backoff(attempt, params, jitter=jitter)
        else:
            return None
        if last or asked is None or (asked > 0 and call.ends - asyncio.get_running_loop().time() < asked):
            return None
        return max(pause, asked)

    @staticmethod
    def _finish_failed(error: AjaxError, call: _Call) -> AjaxResult[Any]:
        if is_returned(error, call.rule.params):
            answer = {"error": {"code": error.code, "message": error.message}}
            return AjaxResult(answer, query=call.request.query, status=error.status, error=error)
        raise final_error(error, call.rule, may_have_run=call.may_have_run)

    # --- one attempt -----------------------------------------------------------------------------------------------

    async def _send_with_token(self, call: _Call) -> AjaxResult[Any]:
        """Sends the call, and once more when the token is refused or the portal has moved."""
        services = self._services
        if services.credentials.fresh() is None:
            # A call that waits for a token holds no place in the bucket: those would all be sent in one burst.
            await self._token(call)
        if services.credentials.is_inside():
            # A callback of the renewal must not wait behind those who wait for the renewal.
            return await self._send_admitted(call)
        for _ in range(_MOST_WINDOWS):
            if not (services.wire.lifetime.is_open and services.gate.enters_at_once()):
                await services.enter_gate()
            try:
                seconds = services.limits.time_to_reset(call.methods)
                if seconds <= 0:
                    return await self._send_admitted(call)
            finally:
                services.gate.leave()
            # Others have used the time up while this call waited for its turn.
            call.report.throttled("operating", seconds)
            await services.pause(seconds)
        await services.enter_gate()
        try:
            return await self._send_admitted(call)
        finally:
            services.gate.leave()

    async def _token(self, call: _Call) -> Grant:
        services, credentials = self._services, self._services.credentials
        pair = credentials.ready()
        if pair is None:
            renewals = credentials.renewals
            pair = await credentials.get()
            services.wire.lifetime.check_waiting(within_renewal=credentials.is_inside())
            call.renewed = call.renewed or credentials.renewals > renewals
        return pair

    async def _send_admitted(self, call: _Call) -> AjaxResult[Any]:
        services = self._services
        call.admission = await services.admit(call.report)
        pair = await self._token(call)
        answer = await self._send(call, pair)
        if services.relocation.is_redirect(answer) and not call.moved:
            call.moved, renewals = True, services.credentials.renewals
            pair = await services.relocation.follow(answer, pair, call.request.query)
            call.renewed = call.renewed or services.credentials.renewals > renewals
            call.admission = await services.admit(call.report)
            answer = await self._send(call, pair)
        result = self._decode(answer, call)
        if isinstance(result, AjaxResult):
            return result
        other = await self._other_pair(result, call, pair)
        if other is None:
            raise result
        call.renewed = True
        call.admission = await services.admit(call.report)
        again = self._decode(await self._send(call, other), call)
        if isinstance(again, AjaxError):
            raise again
        if is_denial(result):
            services.credentials.denial_was_of_the_token()
        return again

    async def _other_pair(self, error: AjaxError, call: _Call, pair: Grant) -> Grant | None:
        """A pair to repeat the call with, when it failed for its token."""
        credentials = self._services.credentials
        if is_denial(error):
            try:
                return await credentials.after_denial(pair.access_token)
            except RefreshTokenError as failure:
                if failure.needs_reauth:
                    raise
                return None
        if not is_about_token(error) or (call.renewed and credentials.params is pair):
            return None
        accepted = self._counter.succeeded > self._succeeded_before_refusal
        self._succeeded_before_refusal = self._counter.succeeded
        return await credentials.after_refusal(pair.access_token, accepted=accepted)

    async def _send(self, call: _Call, pair: Grant) -> RawResponse:
        services, request = self._services, call.request
        if self._known.pair is not pair:
            credentials = services.credentials
            self._known = _PairFacts(pair, credentials.base(pair, self._dialect), credentials.secrets(pair))
        # Judged once for each pair: who may see it, and what no message may repeat.
        token, facts = pair.access_token, self._known
        url, call.secrets = request.url(facts.base), facts.secrets
        if call.report.has_content:
            call.report.sending(facts.secrets)
        before, call.may_have_run, call.sent = call.may_have_run, True, True
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            answer = await services.send("POST", url, request.body_with(token), request.headers_with(token))
            call.elapsed = clock() - started
        except NoResponse as failure:
            call.may_have_run = before or failure.sent
            call.sent = failure.sent
            call.timeouts += failure.timed_out and failure.sent
            if call.admission is not None and not failure.sent:
                services.limits.rate.never_sent(call.admission)
            error = without_response(failure, call.request.query, facts.secrets)
        except ConfigurationError:
            call.may_have_run, call.sent = before, False
            if call.admission is not None:
                services.limits.rate.never_sent(call.admission)
            raise
        else:
            call.may_have_run = before
            return answer
        raise error

    def _decode(self, answer: RawResponse, call: _Call) -> AjaxResult[Any] | AjaxError:
        limits, query, secrets = self._services.limits, call.request.query, call.secrets
        payload = decode_clean(answer, query, secrets)
        if isinstance(payload, AjaxError):
            call.may_have_run = call.may_have_run or is_without_answer(payload)
            call.report.received_error(answer, secrets)
            return payload
        if call.report.has_content:
            call.report.received(payload, secrets)
        times = {query.method: payload.get("time")} if call.times_of is None else call.times_of(payload)
        limits.observe(times, call.admission)
        result: AjaxResult[Any] = AjaxResult(payload, query=query, status=answer.status)
        result.elapsed = call.elapsed
        return result
