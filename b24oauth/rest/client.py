"""Runs one call: rate limiting, sending with a valid token, decoding, and retrying when that is safe."""

from __future__ import annotations

import asyncio
import copy
import random
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import attrs

from b24oauth.errors import (
    AjaxError,
    ClientStateError,
    RefreshTokenError,
    RequestTimeoutError,
    TokenPersistenceError,
)
from b24oauth.models import ApiVersion
from b24oauth.observing import Log
from b24oauth.protocol.dialects import Dialect, is_plain_read
from b24oauth.rest.attempt import CallState, Sender, TimesOf
from b24oauth.rest.failures import nothing_sent, out_of_time
from b24oauth.rest.refusals import Refusals
from b24oauth.rest.reporting import CallReport, Reporter
from b24oauth.rest.request import prepare
from b24oauth.rest.retry import (
    Next,
    RepeatRule,
    asked_pause,
    backoff,
    final_error,
    is_returned,
    next_step,
    rate_backoff_factor,
)
from b24oauth.rest.services import Services
from b24oauth.rest.stats import CallCounter, HttpStats
from b24oauth.result import AjaxQuery, AjaxResult
from b24oauth.wire import Deadline, Turns

__all__ = ["HttpClient", "TimesOf"]


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
        self._sender = Sender(dialect, services, self._counter)
        self._reporter = Reporter(
            log=services.log, api=dialect.version, credentials=services.credentials, limits=services.limits
        )
        self._max_attempts: int | None = None
        self._id_prefix, self._id_count = services.id_prefix, services.id_count

    @property
    def api_version(self) -> ApiVersion:
        """API version of this client."""
        return self._dialect.version

    @property
    def log(self) -> Log:
        """The logger in use."""
        return self._services.log

    @property
    def max_attempts(self) -> int:
        """How often a call is sent, at most."""
        return self._services.limits.params.max_retries if self._max_attempts is None else self._max_attempts

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

    @property
    def slow_counts(self) -> dict[tuple[str, ...], None]:
        """Lists whose rows the portal counts slowly, by method and conditions."""
        return self._services.slow_counts

    def current_token(self) -> str:
        """The access token in use, valid or not, used to detect whether the token changed in the meantime."""
        token: str = self._services.credentials.params.access_token
        return token

    def secrets(self) -> tuple[str, ...]:
        """The credentials in use, which nothing that is shown or stored may repeat."""
        credentials = self._services.credentials
        return credentials.secrets(credentials.params)

    def max_new_requests(self, requests: int, under_way: int, seconds: float) -> int:
        """How many further requests are useful now, as `RestrictionManager.max_new_requests` says."""
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
        """Returns an object that waits until temporarily rejected batch commands may be retried."""
        return Refusals(self._services)

    def get_stats(self) -> HttpStats:
        """What this client did so far, and what the portal's limits did."""
        return self._counter.stats(self._services.limits.get_stats())

    def reset(self) -> None:
        """Forgets the counts and what is known of the portal's limits."""
        self._counter.reset()
        self._sender.reset()
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
            inner_methods: Methods inside a batch, whose execution time it uses.
            times_of: Finds their execution times in the response.
            repeat_timeouts: False when the caller handles timeouts of the response itself.

        Returns:
            The result; it contains an error when the portal sent one with HTTP 200 or its code is soft.

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
        request_id = request_id or f"{self._id_prefix}{next(self._id_count):012x}"
        query = AjaxQuery(method=method, params={} if params is None else params, request_id=request_id)
        lifetime.under_way += 1
        started, turns = loop.time(), services.wire.turns
        try:
            if turns is not None and not turns.begins_at_once():
                await self._take_turn(turns, query, timeout)
            call = self._prepare(
                query, idempotent, idempotency_key, inner_methods, times_of, repeat_timeouts=repeat_timeouts
            )
            if call.report.is_detailed:
                call.report.started()
            try:
                if timeout is None:
                    return await self._attempts(call, loop, started)
                return await self._in_time(call, loop, started, timeout)
            except BaseException as error:
                call.report.failed(error, call.attempts, loop.time() - started)
                raise
        finally:
            lifetime.leave()

    async def _take_turn(self, turns: Turns, query: AjaxQuery, timeout: float | None) -> None:
        """Waits, before anything is prepared, until the loop has time for another call of the clients of one wire."""
        services, deadline = self._services, Deadline(timeout)
        if services.credentials.is_inside():
            return  # a close ends those who wait, and the calls of a refresh callback go on
        try:
            async with deadline:
                await turns.wait(services.wire.lifetime)
        except TimeoutError:
            if timeout is None or not deadline.expired():
                raise
        else:
            return
        raise out_of_time(query, timeout)

    async def _in_time(
        self, call: CallState, loop: asyncio.AbstractEventLoop, started: float, timeout: float
    ) -> AjaxResult[Any]:
        call.ends = started + timeout
        deadline = Deadline(call.ends - loop.time())
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
    ) -> CallState:
        request = prepare(query, self._dialect, idempotency_key=key)
        methods = tuple(inner_methods) or (request.query.method,)
        reads = all(map(is_plain_read, methods))
        if key is None and self._dialect.idempotency_key and not reads:
            key = str(uuid.uuid4())
            request = attrs.evolve(request, idempotency_key=key)
        harmless = reads if idempotent is None else idempotent
        params = self._services.limits.params
        if self._max_attempts is not None:
            params = attrs.evolve(params, max_retries=self._max_attempts)
        rule = RepeatRule(
            params=params,
            harmless=harmless,
            keyed=key is not None,
            repeat_timeouts=repeat_timeouts,
        )
        report = CallReport(self._reporter, query)
        return CallState(request=request, report=report, methods=methods, rule=rule, times_of=times_of)

    # --- attempts ------------------------------------------------------------------------------------------------

    async def _attempts(self, call: CallState, loop: asyncio.AbstractEventLoop, started: float) -> AjaxResult[Any]:
        limits, method, report = self._services.limits, call.request.query.method, call.report
        most = call.rule.params.max_retries
        for attempt in range(most):
            call.attempts = attempt + 1
            if report.is_detailed:
                call.waits_since = loop.time()
                report.attempt_started(attempt + 1, most)
            budget_wait = limits.budget_wait(call.methods)
            if budget_wait > 0:
                report.throttled("operating", budget_wait)
                await self._services.pause(budget_wait)
            try:
                result = await self._sender.send(call)
            except AjaxError as raised:
                error = raised
            except (RefreshTokenError, TokenPersistenceError, ClientStateError) as raised:
                if call.may_have_run and not call.rule.harmless:
                    raised.add_note(f"An earlier attempt of {method} may have been executed: look before you repeat it")
                raise
            else:
                duration = loop.time() - started
                self._counter.count(method, duration)
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

    async def _pause(self, seconds: float, error: AjaxError, call: CallState) -> None:
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

    async def _pause_before_repeat(self, error: AjaxError, call: CallState, attempt: int) -> float | None:
        """Seconds to wait before the call is repeated, or None when it is not."""
        limits, params = self._services.limits, call.rule.params
        step = next_step(error, call.rule, sent=call.sent, timeouts=call.timeouts)
        last = attempt + 1 >= params.max_retries
        asked = asked_pause(error, params)
        if step is Next.WAIT_FOR_RATE:
            # Report the rejection even if this call is not retried, because other calls must slow down.
            pause = await limits.rate_refused(call.admission, retry_after=asked or 0.0) * rate_backoff_factor(attempt)
        elif step is Next.WAIT_FOR_BUDGET:
            pause = limits.budget_refused(call.methods, retry_after=asked or 0.0)
        elif step is Next.BACK_OFF:
            jitter = random.uniform(-1, 1)  # noqa: S311 - no secret depends on this randomness
            pause = backoff(attempt, params, jitter=jitter)
        else:
            return None
        if last or asked is None or (asked > 0 and call.ends - asyncio.get_running_loop().time() < asked):
            return None
        return max(pause, asked)

    @staticmethod
    def _finish_failed(error: AjaxError, call: CallState) -> AjaxResult[Any]:
        if is_returned(error, call.rule.params):
            answer = {"error": {"code": error.code, "message": error.message}}
            return AjaxResult(answer, query=call.request.query, status=error.status, error=error)
        raise final_error(error, call.rule, may_have_run=call.may_have_run)
