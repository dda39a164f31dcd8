"""Validation of REST method names."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from b24oauth.errors import InvalidCallParamsError, RequestInfo
from b24oauth.shapes import is_sendable

__all__ = ["checked_method", "known_method"]

# The longest documented name has 61 characters.
_LONGEST: Final = 128
_ALLOWED: Final = re.compile(r"[A-Za-z0-9._-]*", re.ASCII)
# Name suffixes that Bitrix24 interprets as the response format.
_FORMATS: Final = (".json", ".xml")


def checked_method(method: object, *, request_id: str = "") -> str:
    """The name of a REST method, safe to be put into an address and into a batch command.

    Args:
        method: What the caller named.
        request_id: Shown in the error.

    Returns:
        The name as a plain string.

    Raises:
        InvalidCallParamsError: `method` is not a valid method name; sent unchanged, it could call a different method or
            add parameters.

    Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/general-principles.html
    """
    # Members of an enumeration may show themselves as something else than their text.
    name = str.__str__(method) if isinstance(method, str) else None
    problem = f"must be a string, not {type(method).__name__}" if name is None else _problem(name)
    if name is not None and not problem:
        return name
    # The name itself is not repeated: it may hold what was meant to be a parameter, such as a token.
    raise InvalidCallParamsError(
        f"method: {problem}; a REST method has a name like 'crm.deal.get'",
        code="B24OAUTH_INVALID_METHOD_NAME",
        status=400,
        request_info=RequestInfo(method="<invalid name>", request_id=request_id),
    )


@lru_cache(maxsize=1024)
def known_method(method: str) -> str:
    """Cached version of `checked_method` for str."""
    return checked_method(method)


def _problem(name: str) -> str:
    """What is wrong with a name, empty when nothing is."""
    allowed = _ALLOWED.match(name)
    end = allowed.end() if allowed else 0
    if end < len(name):
        if not is_sendable(name):
            return "must be Unicode text without lone surrogates"
        shown = repr(name[end]) if " " <= name[end] <= "~" else "not printable ASCII"
        return (
            f"may only have Latin letters, digits, '.', '_' and '-', but character {end + 1} is {shown}; "
            "parameters belong in `params`"
        )
    if len(name) > _LONGEST:
        return f"must have at most {_LONGEST} characters, not {len(name)}"
    if "" in name.split("."):
        return "must not be empty, begin or end with a dot, or have two dots in a row"
    if name.lower().endswith(_FORMATS):
        return f"must not end in '{name[name.rindex('.') :]}': responses are always read as JSON, so leave it out"
    return ""
