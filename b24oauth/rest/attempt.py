"""One attempt of a call: admitted, sent with a valid token, decoded, and sent once more when the token is refused."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from b24oauth.errors import AjaxError, ConfigurationError, RefreshTokenError
from b24oauth.limits.base import Admission
from b24oauth.protocol.decoding import RawResponse, decode_clean
from b24oauth.protocol.dialects import Dialect
from b24oauth.protocol.large import LARGE
from b24oauth.rest.credentials import Grant
from b24oauth.rest.decoding import decoded_in_turns
from b24oauth.rest.failures import without_response
from b24oauth.rest.reporting import CallReport
from b24oauth.rest.request import PreparedRequest, token_member
from b24oauth.rest.retry import RepeatRule, is_about_token, is_denial, is_without_answer
from b24oauth.rest.services import Services
from b24oauth.rest.stats import CallCounter
from b24oauth.result import AjaxResult
from b24oauth.wire import NoResponse

__all__ = ["CallState", "Sender", "TimesOf"]

# Redirect status codes.
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# Maximum number of waits for execution time when other calls use it up first. Bounded, because a test clock may not
# advance.
_MOST_WINDOWS: Final = 20

TimesOf = Callable[[Mapping[str, Any]], Mapping[str, Mapping[str, Any]]]


@attrs.define(eq=False)
class CallState:
    """Mutable state of one call.

    Attributes:
        request: What is sent.
        report: Tells the observers about it.
        methods: Whose execution time it uses.
        rule: Whether it may be repeated.
        times_of: Function that extracts the execution time per method from a batch response.
        renewed: True when a renewal was made for it.
        moved: True when it followed a redirect.
        may_have_run: True when it was sent without getting a response.
        sent: False when the portal cannot have seen it the last time.
        attempts: Number of attempts started.
        requests: Number of requests sent, if they are observed.
        waits_since: When the attempt began, seconds of the loop's clock, if it is observed and nothing was sent yet.
        timeouts: How many responses timed out.
        admission: Permission from the rate limiter for the last attempt.
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
    requests: int = 0
    waits_since: float | None = None
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
        member: The access token as a member of a JSON object.
    """

    pair: Grant | None
    base: str
    secrets: tuple[str, ...]
    member: bytes


class Sender:
    """Makes attempts of calls of one API version.

    Args:
        dialect: The version.
        services: What it shares with the other version.
        counter: Counts successful attempts.
    """

    __slots__ = ("_counter", "_dialect", "_known", "_services", "_succeeded_before_refusal")

    def __init__(self, dialect: Dialect, services: Services, counter: CallCounter) -> None:
        self._dialect = dialect
        self._services = services
        self._counter = counter
        self._succeeded_before_refusal = 0
        self._known = _PairFacts(None, "", (), b"")

    def reset(self) -> None:
        """Resets the success count recorded at the last token rejection."""
        self._succeeded_before_refusal = 0

    async def send(self, call: CallState) -> AjaxResult[Any]:
        """Sends the call, and once more when the token is refused or the portal has moved."""
        services, waited = self._services, False
        if services.credentials.ready() is None:
            if services.credentials.fresh() is None:
                # Get the token before the admission; otherwise all calls waiting for a refresh would be sent in one
                # burst afterwards.
                await self._token(call)
                waited = True
            if services.credentials.is_inside():
                # A call from a refresh callback must not queue behind calls that wait for this refresh (deadlock).
                call.admission = await services.admit(call.report)
                return await self._send_admitted(call)
        for _ in range(_MOST_WINDOWS):
            if not (services.wire.lifetime.is_open and services.gate.enters_at_once()):
                await services.enter_gate()
                waited = True
            try:
                seconds = services.limits.time_to_reset(call.methods) if waited else 0.0
                if seconds <= 0:
                    call.admission = await services.admit(call.report)
                    # With the admission may have come that another process has used the time up.
                    if not services.limits.are_shared:
                        return await self._send_admitted(call)
                    seconds = services.limits.time_to_reset(call.methods)
                    if seconds <= 0:
                        return await self._send_admitted(call)
                    services.limits.not_sent(call.admission)
            finally:
                services.gate.leave()
            # Others have used the time up while this call waited for its turn.
            call.report.throttled("operating", seconds)
            await services.pause(seconds)
            waited = True
        await services.enter_gate()
        try:
            call.admission = await services.admit(call.report)
            return await self._send_admitted(call)
        finally:
            services.gate.leave()

    async def _token(self, call: CallState) -> Grant:
        services, credentials = self._services, self._services.credentials
        pair = credentials.ready()
        if pair is None:
            renewals = credentials.renewals
            pair = await credentials.get()
            services.wire.lifetime.check_waiting(within_renewal=credentials.is_inside())
            call.renewed = call.renewed or credentials.renewals > renewals
        return pair

    async def _send_admitted(self, call: CallState) -> AjaxResult[Any]:
        services = self._services
        pair = services.credentials.ready() or await self._token(call)
        answer = await self._send(call, pair)
        if answer.status in _REDIRECTS and not call.moved:
            call.moved, renewals = True, services.credentials.renewals
            pair = await services.relocation.follow(answer, pair, call.request.query)
            call.renewed = call.renewed or services.credentials.renewals > renewals
            call.admission = await services.admit(call.report)
            answer = await self._send(call, pair)
        result = await self._decode(answer, call)
        if isinstance(result, AjaxResult):
            return result
        other = await self._other_pair(result, call, pair)
        if other is None:
            raise result
        call.renewed = True
        call.admission = await services.admit(call.report)
        again = await self._decode(await self._send(call, other), call)
        if isinstance(again, AjaxError):
            raise again
        if is_denial(result):
            services.credentials.denial_was_of_the_token()
        return again

    async def _other_pair(self, error: AjaxError, call: CallState, pair: Grant) -> Grant | None:
        """Returns another pair to retry with if the call failed because of its token."""
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

    async def _send(self, call: CallState, pair: Grant) -> RawResponse:
        send, request = self._services.send, call.request
        if self._known.pair is not pair:
            credentials = self._services.credentials
            base, secrets = credentials.base(pair, self._dialect), credentials.secrets(pair)
            self._known = _PairFacts(pair, base, secrets, token_member(pair.access_token))
        # Computed once per pair: its base URL (after the host check) and the secrets to mask.
        facts = self._known
        call.secrets = facts.secrets
        if call.report.is_detailed:
            call.requests += 1
            send = call.report.observed(
                send, attempt=call.attempts, number=call.requests, since=call.waits_since, secrets=facts.secrets
            )
            call.waits_since = None
        before, call.may_have_run, call.sent = call.may_have_run, True, True
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            body, headers = request.content_with(pair.access_token, facts.member)
            answer = await send("POST", facts.base + request.path, body, headers)
            call.elapsed = clock() - started
        except NoResponse as failure:
            call.may_have_run = before or failure.sent
            call.sent = failure.sent
            call.timeouts += failure.timed_out and failure.sent
            if not failure.sent:
                self._services.limits.not_sent(call.admission)
            error = without_response(failure, call.request.query, facts.secrets)
        except ConfigurationError:
            call.may_have_run, call.sent = before, False
            self._services.limits.not_sent(call.admission)
            raise
        else:
            call.may_have_run = before
            return answer
        raise error

    async def _decode(self, answer: RawResponse, call: CallState) -> AjaxResult[Any] | AjaxError:
        limits, query, secrets, body = self._services.limits, call.request.query, call.secrets, answer.body
        if len(body) < LARGE:
            payload = decode_clean(answer, query, secrets)
        else:
            parsed = await decoded_in_turns(body, self._services.decoding)
            payload = decode_clean(answer, query, secrets, parsed=parsed)
        if isinstance(payload, AjaxError):
            call.may_have_run = call.may_have_run or is_without_answer(payload)
            call.report.received_error(answer, secrets)
            return payload
        if call.report.has_content:
            call.report.received(payload, secrets)
        times = {query.method: payload.get("time")} if call.times_of is None else call.times_of(payload)
        limits.succeeded(query.method, times, call.admission)
        result: AjaxResult[Any] = AjaxResult(payload, query=query, status=answer.status)
        result.elapsed, result.size = call.elapsed, len(body)
        return result
