"""Names of REST methods: which of them can be sent."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from b24oauth.errors import InvalidCallParamsError, RequestInfo

__all__ = ["checked_method"]

# The longest documented name has 61 characters.
_LONGEST: Final = 128
_ALLOWED: Final = re.compile(r"[A-Za-z0-9._-]*", re.ASCII)
# What Bitrix24 takes for the format of the response when a name ends in it.
_FORMATS: Final = (".json", ".xml")


def checked_method(method: object, *, request_id: str = "") -> str:
    """The name of a REST method, safe to be put into an address and into a batch command.

    Args:
        method: What the caller named.
        request_id: Shown in the error.

    Raises:
        InvalidCallParamsError: It is not the name of a method: the portal would call another method, or add parameters.

    Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/general-principles.html
    """
    problem = f"must be a string, not {type(method).__name__}"
    if isinstance(method, str):
        name, problem = _judged(method)
        if not problem:
            return name
    # The name itself is not repeated: it may hold what was meant to be a parameter, such as a token.
    raise InvalidCallParamsError(
        f"The name of the REST method {problem}; a name looks like 'crm.deal.get'",
        code="B24OAUTH_INVALID_METHOD_NAME",
        status=400,
        request_info=RequestInfo(method="<invalid name>", request_id=request_id),
    )


@lru_cache(maxsize=1024)
def _judged(method: str) -> tuple[str, str]:
    """The name as a plain string, and what is wrong with it, empty when nothing is."""
    name = str.__str__(method)  # members of an enumeration may show themselves as something else
    allowed = _ALLOWED.match(name)
    end = allowed.end() if allowed else 0
    if not name:
        return name, "is empty"
    if end < len(name):
        shown = repr(name[end]) if " " <= name[end] <= "~" else "not printable ASCII"
        return name, (
            f"may only have Latin letters, digits, '.', '_' and '-', but character {end + 1} is {shown}; "
            "parameters belong in `params`"
        )
    if len(name) > _LONGEST:
        return name, f"has {len(name)} characters, and at most {_LONGEST} are allowed"
    if "" in name.split("."):
        return name, "has an empty part: it begins or ends with a dot, or has two dots in a row"
    if name.lower().endswith(_FORMATS):
        return name, f"must not end in '{name[name.rindex('.') :]}': responses are always read as JSON, so leave it out"
    return name, ""
