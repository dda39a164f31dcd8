"""Maps portal error codes to an exception class, a retry rule and a delivery mode (raised or returned)."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from b24oauth.errors import (
    AccessDeniedError,
    AjaxError,
    AuthRefusedError,
    BadResponseError,
    ExpiredTokenError,
    NetworkError,
    NotFoundError,
    OperatingLimitError,
    PortalBlockedError,
    PortalMovedError,
    RateLimitError,
    RequestInfo,
    RequestTimeoutError,
    ValidationError,
)

__all__ = [
    "CODES",
    "HARD_ERROR_CODES",
    "SOFT_ERROR_CODES",
    "Code",
    "Delivery",
    "Retry",
    "error_for",
    "meaning_of",
]


class Retry(enum.Enum):
    """Retry rule for an error code."""

    NEVER = "never"
    AFTER_RENEWAL = "after renewal"
    RATE = "the rate limit refused it"
    OPERATING = "the operating limit refused it"


class Delivery(enum.Enum):
    """How an error reaches the caller."""

    RAISED = "hard"
    RETURNED = "soft"


@attrs.frozen
class Code:
    """What a code of the portal means.

    Attributes:
        error: The class that is raised for it.
        retry: Whether the call is repeated; None: the status decides.
        delivery: Always raised, or always returned inside the result; None: raised.
        status: The status that the code stands for, regardless of the response.
    """

    error: type[AjaxError]
    retry: Retry | None = None
    delivery: Delivery | None = None
    status: int | None = None


_V3: Final = "BITRIX_REST_V3_EXCEPTION_"


def _hard(error: type[AjaxError] = AjaxError, retry: Retry = Retry.NEVER, status: int | None = None) -> Code:
    return Code(error, retry, Delivery.RAISED, status)


def _soft(error: type[AjaxError]) -> Code:
    return Code(error, Retry.NEVER, Delivery.RETURNED)


# Source: https://apidocs.bitrix24.com/error-codes.html and the lists in the JS SDK, in the same order.
CODES: Final[Mapping[str, Code]] = {
    "ERR_BAD_REQUEST": _hard(),
    "B24OAUTH_UNKNOWN_ERROR": _hard(),
    "100": _hard(),
    "INTERNAL_SERVER_ERROR": _hard(),
    "ERROR_UNEXPECTED_ANSWER": _hard(),
    "PORTAL_DELETED": _hard(PortalBlockedError),
    "ERROR_BATCH_METHOD_NOT_ALLOWED": _hard(ValidationError),
    "ERROR_BATCH_LENGTH_EXCEEDED": _hard(ValidationError),
    "NO_AUTH_FOUND": _hard(AuthRefusedError),
    "INVALID_REQUEST": _hard(ValidationError),
    "OVERLOAD_LIMIT": _hard(PortalBlockedError),
    "expired_token": _hard(ExpiredTokenError, Retry.AFTER_RENEWAL),
    "invalid_token": _hard(ExpiredTokenError, Retry.AFTER_RENEWAL),
    "ACCESS_DENIED": _hard(AccessDeniedError),
    "INVALID_CREDENTIALS": _hard(AccessDeniedError),
    "user_access_error": _hard(AccessDeniedError),
    "insufficient_scope": _hard(AccessDeniedError),
    "ERROR_MANIFEST_IS_NOT_AVAILABLE": _hard(),
    "allowed_only_intranet_user": _hard(AccessDeniedError),
    "NOT_FOUND": _hard(NotFoundError),
    "INVALID_ARG_VALUE": _hard(ValidationError),
    "ERROR_ENTITY_NOT_FOUND": _soft(NotFoundError),
    f"{_V3}ACCESSDENIEDEXCEPTION": _soft(AccessDeniedError),
    f"{_V3}INVALIDJSONEXCEPTION": _soft(ValidationError),
    f"{_V3}INVALIDFILTEREXCEPTION": _soft(ValidationError),
    f"{_V3}INVALIDSELECTEXCEPTION": _soft(ValidationError),
    f"{_V3}ENTITYNOTFOUNDEXCEPTION": _soft(NotFoundError),
    f"{_V3}METHODNOTFOUNDEXCEPTION": _soft(NotFoundError),
    f"{_V3}UNKNOWNDTOPROPERTYEXCEPTION": _soft(ValidationError),
    f"{_V3}VALIDATION_REQUESTVALIDATIONEXCEPTION": _soft(ValidationError),
    f"{_V3}VALIDATION_DTOVALIDATIONEXCEPTION": _soft(ValidationError),
    "QUERY_LIMIT_EXCEEDED": Code(RateLimitError, Retry.RATE),
    "OPERATION_TIME_LIMIT": Code(OperatingLimitError, Retry.OPERATING),
    "AUTHORIZE_ERROR": Code(AccessDeniedError, Retry.NEVER, status=403),
    "WRONG_AUTH_TYPE": Code(AccessDeniedError, Retry.NEVER, status=403),
    "ALLOWED_ONLY_INTRANET_USER": Code(AccessDeniedError, Retry.NEVER),
    "ERROR_METHOD_NOT_FOUND": Code(NotFoundError, Retry.NEVER),
    "METHOD_CONFIRM_WAITING": Code(AccessDeniedError, Retry.NEVER),
    "METHOD_CONFIRM_DENIED": Code(AccessDeniedError, Retry.NEVER),
    "PAYMENT_REQUIRED": Code(AuthRefusedError, Retry.NEVER),
    "NETWORK_ERROR": Code(NetworkError),
    "REQUEST_TIMEOUT": Code(RequestTimeoutError),
    "B24OAUTH_BAD_RESPONSE": Code(BadResponseError),
    "B24OAUTH_RESPONSE_TOO_LARGE": Code(BadResponseError, Retry.NEVER),
    "B24OAUTH_PORTAL_MOVED": Code(PortalMovedError, Retry.NEVER),
}
HARD_ERROR_CODES: Final = tuple(code for code, known in CODES.items() if known.delivery is Delivery.RAISED)
SOFT_ERROR_CODES: Final = tuple(code for code, known in CODES.items() if known.delivery is Delivery.RETURNED)

# v3 error codes contain PHP class names, so unknown codes can be classified by a substring.
_V3_PARTS: Final[Mapping[str, Code]] = {
    "RATELIMIT": Code(OperatingLimitError, Retry.OPERATING),
    "ACCESSDENIED": Code(AccessDeniedError, Retry.NEVER),
    "INSUFFICIENTSCOPE": Code(AccessDeniedError, Retry.NEVER),
    "NOTFOUND": Code(NotFoundError, Retry.NEVER),
    "VALIDATION": Code(ValidationError, Retry.NEVER),
    "INVALID": Code(ValidationError, Retry.NEVER),
}

# 503 without a code is treated as a rate limit, because a portal sends it only before executing a call.
_BY_STATUS: Final[Mapping[int, Code]] = {
    401: Code(AuthRefusedError, Retry.NEVER),
    403: Code(AccessDeniedError, Retry.NEVER),
    404: Code(NotFoundError, Retry.NEVER),
    408: Code(AjaxError),  # a proxy's timeout, like 504: the call may have been executed
    422: Code(ValidationError, Retry.NEVER),
    429: Code(OperatingLimitError, Retry.OPERATING),
    503: Code(RateLimitError, Retry.RATE),
}
# Bots are limited to two requests a second, and told so by 429, which elsewhere stands for execution time.
# Source: https://apidocs.bitrix24.com/api-reference/chat-bots/chat-bots-v2/index.html
_OF_BOTS: Final = "imbot."
_TOO_MANY_OF_BOTS: Final = Code(RateLimitError, Retry.RATE)
_TRANSPORT_CODES: Final = frozenset({"ERR_BAD_REQUEST", "ERR_BAD_RESPONSE"})
# For these statuses the class is fixed, because retries depend on it; the message text is ignored.
_ABOUT_THE_REQUEST: Final = frozenset({401, 429, 503})
_UNKNOWN: Final = Code(AjaxError)


def meaning_of(code: str, status: int, *, message: str = "", method: str = "") -> Code:
    """What a failure means.

    Repeats and delivery follow the code and the status, and the method for a 429 of unknown code. The class follows the
    code where it is documented with one meaning; for ambiguous codes ("", "0", "ERROR_CORE" …) the method and the text;
    then the status.

    Args:
        code: Code of the portal, or one of ours.
        status: HTTP status of the response.
        message: Text of the portal.
        method: REST method.
    """
    # Not at the top of the module: only errors need the table of documented codes.
    from b24oauth.portal_codes import class_of, is_ambiguous  # noqa: PLC0415

    known = CODES.get(code)
    ambiguous = is_ambiguous(code)
    if known is None or (code in _TRANSPORT_CODES and status in _BY_STATUS):
        known = _of_v3_part(code) or _BY_STATUS.get(status, _UNKNOWN)
        if status == 429 and method.lower().startswith(_OF_BOTS):
            return _TOO_MANY_OF_BOTS
    elif not ambiguous:
        return known
    if ambiguous and status in _ABOUT_THE_REQUEST:
        return known
    error = class_of(code, message=message, method=method)
    return known if error is None else attrs.evolve(known, error=error)


def _of_v3_part(code: str) -> Code | None:
    if code.startswith(_V3):
        for part, known in _V3_PARTS.items():
            if part in code:
                return known
    return None


def error_for(
    code: str,
    status: int,
    message: str = "",
    *,
    request_info: RequestInfo | None = None,
    validation: Sequence[Mapping[str, Any]] | None = None,
) -> AjaxError:
    """The error object for a failure, of the class that `meaning_of` gives."""
    method = "" if request_info is None else request_info.method
    known = meaning_of(code, status, message=message, method=method)
    status = status if known.status is None else known.status
    return known.error(message, code=code, status=status, request_info=request_info, validation=validation)
