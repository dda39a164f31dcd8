"""Verified requests as plain values, which a queue of tasks carries to another process. Tokens are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from b24oauth.apps.events import MethodConfirmed
from b24oauth.apps.requests import CodeReturned, Incoming, PageOpened, read_request
from b24oauth.errors import InvalidDataError
from b24oauth.shapes import as_mapping, is_list, is_mapping

__all__ = ["Message", "read_message", "write_message"]

Message: TypeAlias = dict[str, Any]

_TOKENS: Final = frozenset(
    {"access_token", "refresh_token", "application_token", "AUTH_ID", "REFRESH_ID", "APPLICATION_TOKEN"}
)


def write_message(incoming: Incoming) -> Message:
    """A request as values of JSON.

    Args:
        incoming: A verified request.

    Raises:
        TypeError: It is the return of an authorization, which is handled in its request.
    """
    if isinstance(incoming, CodeReturned):
        raise TypeError("An authorization code is good once and for seconds: it is not handed on")
    if isinstance(incoming, PageOpened):
        return {"form": _without_tokens(incoming.form), "query": _without_tokens(incoming.query)}
    form = _without_tokens(incoming.raw)
    if isinstance(incoming, MethodConfirmed):
        form = {**form, "data": {name: part for name, part in as_mapping(form["data"]).items() if name != "TOKEN"}}
    return {"form": form}


def read_message(message: Mapping[str, Any]) -> Incoming:
    """The request of a message.

    Args:
        message: What `write_message` returned.

    Raises:
        InvalidDataError: It is something else.
    """
    if not is_mapping(message) or not is_mapping(message.get("form")):
        raise InvalidDataError("The message", ["must be what B24App gave to `dispatch`"])
    return read_request(message["form"], as_mapping(message.get("query")))


def _without_tokens(value: Any) -> Any:
    if is_mapping(value):
        return {name: _without_tokens(part) for name, part in value.items() if name not in _TOKENS}
    if is_list(value):
        return [_without_tokens(part) for part in value]
    return value
