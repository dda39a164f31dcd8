"""Retry decisions: whether to retry a failed call, how long to wait, and which error to raise. Pure functions."""

from __future__ import annotations

import enum
from typing import Final

import attrs

from b24oauth.backing_off import exponential
from b24oauth.error_codes import Delivery, Retry, meaning_of
from b24oauth.errors import (
    AjaxError,
    AmbiguousResultError,
    BadResponseError,
    NetworkError,
    RateLimitError,
    RequestTimeoutError,
    SdkError,
)
from b24oauth.limits.params import RestrictionParams

__all__ = [
    "Next",
    "RepeatRule",
    "asked_pause",
    "backoff",
    "final_error",
    "is_about_token",
    "is_denial",
    "is_refused_command",
    "is_returned",
    "is_without_answer",
    "next_step",
    "rate_backoff_factor",
    "took_too_long",
]

_LONGEST_PAUSE: Final = 30.0
# Longest Retry-After of a 503 that is waited for, seconds.
_LONGEST_ASKED_PAUSE: Final = 60.0
_SHORTEST_PAUSE: Final = 0.1
_JITTER: Final = 0.1
_MOST_GROWTH: Final = 20
# The response timeout is longer than the portal's own limit, so a third attempt after two timeouts is pointless.
_MOST_TIMEOUTS: Final = 1
# Message of the portal for a missing parameter; sent with status 500.
_MISSING_PARAMETER: Final = "Could not find value for parameter"


class Next(enum.Enum):
    """What to do after a failure."""

    STOP = "do not repeat"
    WAIT_FOR_RATE = "repeat when the bucket has room"
    WAIT_FOR_BUDGET = "repeat when the method has execution time again"
    BACK_OFF = "repeat after a pause"


@attrs.frozen(kw_only=True)
class RepeatRule:
    """What is allowed for one call.

    Attributes:
        params: Limits and repeats of the client.
        harmless: The call may run twice: a read, or marked as idempotent.
        keyed: The portal runs it once, however often it is sent.
        repeat_timeouts: False when the caller handles timeouts of the response itself.
    """

    params: RestrictionParams
    harmless: bool
    keyed: bool
    repeat_timeouts: bool = True

    @property
    def may_run_twice(self) -> bool:
        """True when sending it again does no harm, even if the first request was executed."""
        return self.harmless or self.keyed or self.params.retry_on_network_error is True


def is_about_token(error: AjaxError) -> bool:
    """True when the portal refuses the access token itself, whether as a 401 or inside a 200."""
    return error.status in (200, 401) and meaning_of(error.code, error.status).retry is Retry.AFTER_RENEWAL


def is_denial(error: AjaxError) -> bool:
    """True for a v3 error that may be caused by the access token or by missing permissions.

    Source: https://apidocs.bitrix24.com/api-reference/rest-v3/index.html
    """
    return error.status == 401 and error.code.endswith("ACCESSDENIEDEXCEPTION")


def is_refused_command(error: SdkError) -> bool:
    """True if a batch command was not executed because of a limit or an expired token, and can be retried."""
    return meaning_of(error.code, error.status).retry in (Retry.RATE, Retry.OPERATING, Retry.AFTER_RENEWAL)


def next_step(error: AjaxError, rule: RepeatRule, *, sent: bool, timeouts: int = 0) -> Next:
    """Decides whether a call is repeated.

    Args:
        error: What went wrong.
        rule: What is allowed for the call.
        sent: False when the portal cannot have seen the request.
        timeouts: How many responses of the call timed out, this one included.
    """
    method = "" if error.request_info is None else error.request_info.method
    known = meaning_of(error.code, error.status, method=method)
    if error.code in rule.params.hard_error_codes or known.delivery is Delivery.RAISED:
        return Next.STOP
    if known.retry is Retry.RATE:
        return Next.WAIT_FOR_RATE
    if known.retry is Retry.OPERATING:
        return Next.WAIT_FOR_BUDGET
    if is_without_answer(error):
        return _next_without_answer(error, rule, sent=sent, timeouts=timeouts)
    refused = error.status < 500 or known.retry is Retry.NEVER or error.code in rule.params.soft_error_codes
    if refused or _MISSING_PARAMETER in error.message:
        return Next.STOP
    return Next.BACK_OFF if rule.may_run_twice else Next.STOP


def backoff(attempt: int, params: RestrictionParams, *, jitter: float) -> float:
    """Seconds to pause before a call is repeated.

    Args:
        attempt: How often it was repeated before.
        params: Limits and repeats of the client.
        jitter: A random number from -1 to 1, so that clients do not all come back at once.
    """
    delay = exponential(attempt, first=params.retry_delay, longest=max(_LONGEST_PAUSE, params.retry_delay))
    return max(_SHORTEST_PAUSE, delay * (1 + _JITTER * jitter))


def asked_pause(error: AjaxError, params: RestrictionParams) -> float | None:
    """Returns the `Retry-After` of a rejection in seconds, 0 if there is none, None if it is too long to wait for.

    Args:
        error: The refusal; `retry_after` is what it asks for.
        params: Limits and repeats of the client.
    """
    longest = params.operating_limit.window if error.status == 429 else _LONGEST_ASKED_PAUSE
    asked = error.retry_after or 0.0
    return asked if asked <= longest else None


def rate_backoff_factor(attempt: int) -> float:
    """Factor by which the rate-limit wait grows with each further rejection."""
    return 1.5 ** min(attempt, _MOST_GROWTH)


def is_returned(error: AjaxError, params: RestrictionParams) -> bool:
    """True when an error comes back inside the result instead of being raised.

    Args:
        error: What went wrong.
        params: Limits and repeats of the client.
    """
    if error.status == 200 and not isinstance(error, BadResponseError):
        return True  # the portal sent a response, although it is an error
    known = meaning_of(error.code, error.status)
    if error.code in params.hard_error_codes or known.delivery is Delivery.RAISED:
        return False
    return known.delivery is Delivery.RETURNED or error.code in params.soft_error_codes


def final_error(error: AjaxError, rule: RepeatRule, *, may_have_run: bool) -> AjaxError:
    """Returns the error to raise; `AmbiguousResultError` for a write that may have been executed.

    Args:
        error: What went wrong at last.
        rule: What was allowed for the call.
        may_have_run: True when the call was sent at least once without a response.
    """
    if rule.harmless or not may_have_run or not (is_without_answer(error) or _tells_of_one_attempt(error)):
        return error
    ambiguous = AmbiguousResultError(
        f"{error.message}. It may have been executed: look before you repeat it, "
        "or mark calls that may run twice with idempotent=True",
        code=error.code,
        status=error.status,
        request_info=error.request_info,
        validation=error.validation,
    )
    ambiguous.__cause__ = error.__cause__
    return ambiguous


def is_without_answer(error: AjaxError) -> bool:
    """True if the outcome of the request is unknown: no response, a gateway error page, or an unreadable response."""
    # A 5xx page of a gateway leaves the outcome unknown, like a broken connection. Only 503 guarantees that nothing was
    # executed.
    unreadable = error.code == "ERR_BAD_RESPONSE" and not isinstance(error, RateLimitError)
    gateway = error.status in (408, 502, 504)
    return unreadable or gateway or isinstance(error, (NetworkError, RequestTimeoutError, BadResponseError))


def took_too_long(error: SdkError) -> bool:
    """True when a response did not come in time, whether we, a proxy or the portal gave up waiting."""
    return isinstance(error, RequestTimeoutError) or error.status in (408, 504)


def _tells_of_one_attempt(error: AjaxError) -> bool:
    """True if the error concerns only this attempt; an earlier attempt may still have been executed."""
    refused = meaning_of(error.code, error.status).retry in (Retry.RATE, Retry.OPERATING, Retry.AFTER_RENEWAL)
    return refused or error.status == 401 or error.status >= 500


def _next_without_answer(error: AjaxError, rule: RepeatRule, *, sent: bool, timeouts: int) -> Next:
    known = meaning_of(error.code, error.status)
    final = known.retry is Retry.NEVER or (isinstance(error, NetworkError) and not error.retryable)
    if final or rule.params.retry_on_network_error is False:
        return Next.STOP
    if took_too_long(error) and sent and not (rule.repeat_timeouts and timeouts <= _MOST_TIMEOUTS):
        return Next.STOP
    if isinstance(error, BadResponseError) and error.is_empty:
        # An empty response is still a response; like the JS SDK, do not treat it as a network error.
        return Next.BACK_OFF if rule.harmless or rule.keyed else Next.STOP
    return Next.BACK_OFF if rule.may_run_twice or not sent else Next.STOP
