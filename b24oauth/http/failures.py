"""The errors of a call that got no answer: pure words, from what the wire and the clock say."""

from __future__ import annotations

from b24oauth.error_codes import error_for
from b24oauth.errors import AjaxError
from b24oauth.result import AjaxQuery
from b24oauth.wire import NoAnswer

__all__ = ["nothing_sent", "out_of_time", "without_answer"]


def without_answer(failure: NoAnswer, query: AjaxQuery) -> AjaxError:
    """The error for a request that brought no answer."""
    method = query.method
    if failure.timed_out and failure.sent:
        message = f"Request timeout exceeded: the portal did not answer {method} in time"
        return error_for("REQUEST_TIMEOUT", 408, message, request_info=query.info)
    where = "The portal did not answer" if failure.sent else "The portal could not be reached for"
    return error_for("NETWORK_ERROR", 0, f"{where} {method} ({failure.reason})", request_info=query.info)


def out_of_time(query: AjaxQuery, timeout: float) -> AjaxError:
    """The error for a call that was not done within its time, in seconds."""
    message = f"{query.method} was not done within {timeout:g} seconds"
    return error_for("REQUEST_TIMEOUT", 408, message, request_info=query.info)


def nothing_sent(query: AjaxQuery) -> AjaxError:
    """The error for a call that may not be sent even once."""
    message = "All attempts exhausted: max_retries is 0, so nothing was sent"
    return error_for("B24OAUTH_CALL_ALL_ATTEMPTS_EXHAUSTED", 500, message, request_info=query.info)
