"""The HTTP request of one call: URL, headers and body. Encoded once and reused for all attempts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, cast
from urllib.parse import quote_plus, urlencode

import attrs

from b24oauth._version import __version__
from b24oauth.checks import check_request_id
from b24oauth.errors import ConfigurationError, InvalidCallParamsError, InvalidParamsError, RequestInfo
from b24oauth.protocol.dialects import Dialect, path_of, sends_telemetry
from b24oauth.protocol.encoding import encode_json
from b24oauth.protocol.methods import checked_method, known_method
from b24oauth.result import AjaxQuery
from b24oauth.shapes import is_sequence
from b24oauth.wire import USER_AGENT

__all__ = ["PreparedRequest", "prepare", "token_member"]

SDK_NAME: Final = "b24-python-oauth"
HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": USER_AGENT,
    }
)
_SDK: Final = "&" + urlencode({"bx24_sdk_ver": __version__, "bx24_sdk_type": SDK_NAME})


@attrs.frozen(kw_only=True)
class PreparedRequest:
    """A call, ready to be sent with any token.

    Attributes:
        query: The request.
        dialect: The version of the API it speaks.
        body: The encoded parameters.
        path: URL path after the base: the method name, with telemetry parameters as the query string.
        idempotency_key: Value of the header, or None.
        bearer: True when the token travels in a header.
    """

    query: AjaxQuery
    dialect: Dialect
    body: bytes = attrs.field(repr=False)
    path: str
    idempotency_key: str | None
    bearer: bool

    def content_with(self, token: str, member: bytes | None = None) -> tuple[bytes, Mapping[str, str]]:
        """Body and headers for a token; an empty token is omitted.

        Args:
            token: The access token.
            member: What `token_member` gives of it, if it is known.
        """
        body, headers = self.body, HEADERS
        if self.idempotency_key is not None:
            headers = {**headers, "Idempotency-Key": self.idempotency_key}
        if not token:
            return body, headers
        if self.bearer:
            return body, {**headers, "Authorization": f"Bearer {token}"}
        auth = member or token_member(token)
        return (b"{" + auth if body == b"{}" else body[:-1] + b"," + auth), headers


def token_member(token: str) -> bytes:
    """The access token as the last member of a JSON object, with the end of that."""
    return b'"auth":' + json.dumps(token).encode() + b"}"


def prepare(query: AjaxQuery, dialect: Dialect, *, idempotency_key: str | None = None) -> PreparedRequest:
    """Encodes a call.

    Args:
        query: The request; a sequence as parameters is a positional call, or the commands of a v3 batch.
        dialect: The version of the API to speak.
        idempotency_key: 1 to 255 printable ASCII characters; v3 only.

    Raises:
        InvalidCallParamsError: The parameters, the method or the request ID cannot be encoded; the error names the
            location.
        ConfigurationError: The key cannot be sent.
    """
    bearer = dialect.batch_auth == "bearer" and query.method == "batch"
    if idempotency_key is not None:
        _check_key(idempotency_key, dialect)
    method = "<invalid name>"
    try:
        if type(query.method) is str:
            method = known_method(query.method)
        else:
            method = checked_method(query.method)
            query = attrs.evolve(query, method=method)
        if type(query.request_id) is not str or not query.request_id.isascii():
            check_request_id(query.request_id, "request_id")
        body = encode_json(query.params if bearer else _as_object(query.params), method)
    except (InvalidParamsError, ConfigurationError) as error:
        refusal = InvalidCallParamsError(
            error.message,
            code=error.code,
            status=error.status,
            request_info=RequestInfo(method=method, params=query.params, request_id=_printable(query.request_id)),
        )
    else:
        return PreparedRequest(
            query=query,
            dialect=dialect,
            body=body,
            path=f"{path_of(method)}?bx24_request_id={quote_plus(query.request_id)}{_SDK}"
            if sends_telemetry(method)
            else path_of(method),
            idempotency_key=idempotency_key,
            bearer=bearer,
        )
    raise refusal


def _printable(text: object) -> str:
    # The error must be printable even if the identifier is not.
    return str(text).encode(errors="backslashreplace").decode()


def _as_object(params: object) -> object:
    if isinstance(params, (dict, Mapping)):  # isinstance() with an abstract class is slow, so test dict first
        named = cast("Mapping[str, Any]", params)
        # A parameter named `auth` would conflict with the access token.
        return {name: value for name, value in named.items() if name != "auth"} if "auth" in named else named
    if is_sequence(params):
        return {str(position): value for position, value in enumerate(params)}
    raise InvalidParamsError(f"Parameters must be a mapping or a list, not {type(params).__name__}")


def _check_key(key: object, dialect: Dialect) -> None:
    if not dialect.idempotency_key:
        raise ConfigurationError(
            "idempotency_key only works with v3: v2 ignores it and would run the call twice",
            code="B24OAUTH_HTTP_INVALID_IDEMPOTENCY_KEY",
        )
    if not isinstance(key, str) or not 1 <= len(key) <= 255 or not all("!" <= letter <= "~" for letter in key):
        raise ConfigurationError(
            "idempotency_key must be 1 to 255 printable ASCII characters without spaces",
            code="B24OAUTH_HTTP_INVALID_IDEMPOTENCY_KEY",
        )
