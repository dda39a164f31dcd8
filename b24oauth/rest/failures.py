"""Creates the errors for calls without a response. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from b24oauth.error_codes import error_for
from b24oauth.errors import AjaxError, NetworkError
from b24oauth.result import AjaxQuery
from b24oauth.scrubbing import scrub
from b24oauth.wire import NoResponse, ResponseTooLarge

__all__ = ["nothing_sent", "out_of_time", "without_response"]


def without_response(failure: NoResponse, query: AjaxQuery, secrets: Iterable[str]) -> AjaxError:
    """The error for a request that brought no response.

    Args:
        failure: What the wire says.
        query: The request.
        secrets: What the error may not repeat: a server may put them into the name of a host.
    """
    method, secrets = query.method, tuple(secrets)
    reason = scrub(failure.reason, secrets)
    if isinstance(failure, ResponseTooLarge):
        message = (
            f"The response to {method} is larger than the {failure.limit} bytes allowed: "
            "ask for less, or raise max_response_size"
        )
        return error_for("B24OAUTH_RESPONSE_TOO_LARGE", 0, message, request_info=query.info)
    if failure.timed_out and failure.sent:
        message = f"Request timeout exceeded: the portal did not answer {method} in time ({reason})"
        error = error_for("REQUEST_TIMEOUT", 408, message, request_info=query.info)
    else:
        where = "The portal did not answer" if failure.sent else "The portal could not be reached for"
        error = error_for("NETWORK_ERROR", 0, f"{where} {method}: {reason}", request_info=query.info)
        if isinstance(error, NetworkError):
            error.retryable = failure.retryable
    if failure.cause is not None and scrub(str(failure.cause), secrets) == str(failure.cause):
        error.__cause__ = failure.cause
    return error


def out_of_time(query: AjaxQuery, timeout: float) -> AjaxError:
    """The error for a call that was not done within its time, in seconds."""
    message = f"{query.method} was not done within {timeout:g} seconds"
    return error_for("REQUEST_TIMEOUT", 408, message, request_info=query.info)


def nothing_sent(query: AjaxQuery) -> AjaxError:
    """The error for a call that may not be sent even once."""
    message = "All attempts exhausted: max_retries is 0, so nothing was sent"
    return error_for("B24OAUTH_CALL_ALL_ATTEMPTS_EXHAUSTED", 500, message, request_info=query.info)
