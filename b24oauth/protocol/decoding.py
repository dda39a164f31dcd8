"""Decodes a portal response (status, headers, body) into a payload or an error."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple, cast

import attrs

from b24oauth.error_codes import error_for
from b24oauth.errors import AjaxError, BadResponseError
from b24oauth.protocol.retry_after import retry_after
from b24oauth.redaction import redact_validation
from b24oauth.result import AjaxQuery, AjaxResult
from b24oauth.scrubbing import scrub_start, scrub_value
from b24oauth.shapes import is_list, is_mapping

__all__ = [
    "RESPONSE_ERROR",
    "ErrorText",
    "RawResponse",
    "ajax_result",
    "decode",
    "decode_clean",
    "error_in",
    "parse_json",
    "read_error",
]

# The code of an error that a readable response reports without a code of its own.
RESPONSE_ERROR: Final = "B24OAUTH_RESPONSE_ERROR"


_LONGEST_CODE: Final = 200
_MOST_ROWS: Final = 100
_UNPARSED: Final = object()


@attrs.frozen
class RawResponse:
    """An HTTP answer, whole.

    Attributes:
        status: HTTP status.
        headers: Headers, names in lower case.
        body: The bytes, uncompressed.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)


class ErrorText(NamedTuple):
    """The parts of an error body."""

    code: str
    message: str
    validation: Sequence[Mapping[str, Any]] | None = None


def decode(answer: RawResponse, query: AjaxQuery) -> Mapping[str, Any] | AjaxError:
    """Decodes the response to a REST call.

    Args:
        answer: What came back.
        query: The request.

    Returns:
        The decoded body of a success, or the error. An error inside an HTTP 200 is an error with status 200.
    """
    return decode_clean(answer, query, ())


def decode_clean(
    answer: RawResponse, query: AjaxQuery, secrets: Collection[str], *, parsed: object = _UNPARSED
) -> Mapping[str, Any] | AjaxError:
    """As `decode`, with secrets masked in every error: because a portal may echo request data.

    Args:
        answer: What came back.
        query: The request.
        secrets: What no error may repeat. The data of a success stay as they are.
        parsed: What `parse_json` gives of the body, where that is known.
    """
    if parsed is _UNPARSED:
        parsed = parse_json(answer.body)
    ok = 200 <= answer.status < 300
    text = ""
    if isinstance(parsed, dict):
        body = cast("dict[str, Any]", parsed)
        if body.get("error") is not None:
            # A 5xx whose body names an error is the portal's own failure; ERR_BAD_RESPONSE means that the outcome is
            # unknown.
            fallback = "ERR_BAD_REQUEST" if 300 <= answer.status < 500 else RESPONSE_ERROR
            error = error_in(body, answer.status, query, fallback_code=fallback, secrets=secrets)
            if error is not None:
                return _with_retry_after(error, answer)
        if ok:
            result: object = body.get("result")
            if isinstance(result, dict) and "result_error" in result:
                return _with_clean_failures(body, cast("dict[str, Any]", result), secrets)
            return body
        text = _text(body.get("error_description"))
    if ok:
        return _bad_response(answer, query, secrets)
    found = ErrorText(_transport_code(answer.status), text or f"Request failed with status code {answer.status}")
    return _with_retry_after(_error(_clean(found, secrets), answer.status, query), answer)


def _with_retry_after(error: AjaxError, answer: RawResponse) -> AjaxError:
    if answer.status in (429, 503):
        error.retry_after = retry_after(answer.headers)
    return error


def error_in(
    body: Mapping[str, Any],
    status: int,
    query: AjaxQuery,
    *,
    fallback_code: str = RESPONSE_ERROR,
    secrets: Collection[str] = (),
) -> AjaxError | None:
    """The error in the body of a response, or of one command of a batch; None when there is none.

    Args:
        body: The decoded body.
        status: HTTP status of the response.
        query: The request.
        fallback_code: The code of an error that has none of its own.
        secrets: What the error may not repeat.
    """
    found = read_error(body, fallback_code)
    if found is None:
        return None
    if not found.message and found.code == fallback_code:
        message = f"Request failed with status code {status}"
        if 200 <= status < 300:
            message = f"The portal reported an error without a code or a text (on {query.method})"
        found = found._replace(message=message)
    return _error(_clean(found, secrets), status, query)


def read_error(body: Mapping[str, Any], fallback_code: str, *, payload: str = "result") -> ErrorText | None:
    """The error in a body, in the shape of v2 or of v3; None when there is none.

    `error` that is present and not null is an error, also without a code: many methods send an empty one and say what
    failed in the text only. An empty `error` ("", false, [], {}) without a text is no error beside the payload of a
    success.

    Args:
        body: The decoded body.
        fallback_code: The code of an error that has none of its own.
        payload: The field that a success has.

    Source: https://apidocs.bitrix24.com/error-codes.html
    """
    error = body.get("error")
    if error is None:
        return None
    described = body.get("error_description")
    text = _text(described)
    if _is_empty(error) and _is_empty(described) and body.get(payload) is not None:
        return None
    if is_list(error) and error and is_mapping(error[0]):
        error = error[0]
    if is_mapping(error):
        return _error_of_v3(error, fallback_code, text)
    return ErrorText(_code(error) or fallback_code, text)


def _is_empty(value: object) -> bool:
    """True for what PHP writes in the place of nothing; the number 0 is a code."""
    return value is None or value is False or value in ("", [], {}) or (isinstance(value, str) and not value.strip())


def _error_of_v3(error: Mapping[str, Any], fallback_code: str, text: str) -> ErrorText:
    message = _text(error.get("message")).rstrip() or text
    rows = error.get("validation")
    validation = [row for row in rows[:_MOST_ROWS] if is_mapping(row)] if is_list(rows) else None
    told = [_text(row.get("message")) or _shown(row) for row in validation or ()]
    if told:
        message = " ".join([f"{message.removesuffix('.')}.", *told] if message else told)
    return ErrorText(_code(error.get("code")) or fallback_code, message, validation)


def _code(value: object) -> str:
    """The error code, which may be a number; empty without one. "0" stands for no code too."""
    code = str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    return "" if code == "0" else code


def _text(value: object) -> str:
    """A text, which some methods split into a list or a map of several."""
    if is_mapping(value):
        value = list(value.values())
    if is_list(value):
        value = " ".join(part for part in value if isinstance(part, str) and part.strip())
    return value if isinstance(value, str) and value.strip() else ""


def _shown(row: Mapping[str, Any]) -> str:
    # A row may repeat the refused value, and a message is logged.
    return json.dumps(redact_validation([row])[0], ensure_ascii=False)


def ajax_result(answer: Mapping[str, Any], *, query: AjaxQuery, status: int = 200) -> AjaxResult[Any]:
    """The result object of a decoded body.

    Args:
        answer: The decoded body, of a success or of an error in either shape.
        query: The request.
        status: HTTP status it came with.
    """
    error = error_in(answer, status, query)
    return AjaxResult(answer, query=query, status=status if error is None else error.status, error=error)


def parse_json(body: bytes) -> object:
    """The value in the bytes, or None when they are not JSON: HTML, cut off, empty, of another encoding."""
    reader = _fast_reader()
    if reader is not None:
        try:
            return reader.decode(body)
        except (reader.refusal, ValueError, RecursionError):
            pass  # msgspec is stricter than json, so fall back to json
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


class _FastReader(NamedTuple):
    decode: Callable[[bytes], object]
    refusal: type[Exception]


@cache
def _fast_reader() -> _FastReader | None:
    """A faster reader, where the extra `speed` is installed; it returns the same values as `json`."""
    try:
        import msgspec  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    return _FastReader(msgspec.json.Decoder().decode, msgspec.MsgspecError)


def _with_clean_failures(
    payload: Mapping[str, Any], result: Mapping[str, Any], secrets: Collection[str]
) -> Mapping[str, Any]:
    """In v2 a successful batch response contains the errors of its commands; mask them too."""
    if not result["result_error"]:
        return payload
    return {**payload, "result": {**result, "result_error": scrub_value(result["result_error"], secrets)}}


def _clean(found: ErrorText, secrets: Collection[str]) -> ErrorText:
    # Mask decoded values rather than the raw JSON, so that escapes cannot hide a secret and masking cannot break the
    # JSON.
    code, message = scrub_start(found.code, secrets, _LONGEST_CODE), scrub_start(found.message, secrets)
    return ErrorText(code, message, scrub_value(found.validation, secrets))


def _error(found: ErrorText, status: int, query: AjaxQuery) -> AjaxError:
    return error_for(found.code, status, found.message, request_info=query.info, validation=found.validation)


def _transport_code(status: int) -> str:
    return "ERR_BAD_REQUEST" if status < 500 else "ERR_BAD_RESPONSE"


def _bad_response(answer: RawResponse, query: AjaxQuery, secrets: Collection[str]) -> BadResponseError:
    # Truncate after masking; a truncated secret would not be recognized.
    told = scrub_start(answer.headers.get("content-type", ""), secrets)
    kind = told.partition(";")[0].strip()[:40] or "no content type"
    error = BadResponseError(
        f"The portal answered {query.method} with {len(answer.body)} bytes of {kind} that are not a JSON object",
        code="B24OAUTH_BAD_RESPONSE",
        status=answer.status,
        request_info=query.info,
    )
    error.is_empty = not answer.body.strip()
    return error
