"""Whether a request comes from the portal that it names."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

__all__ = ["is_genuine"]

# Bitrix24's tokens have 32 letters. What is much longer is not compared.
_LONGEST = 512


def is_genuine(application_token: str, accepted: Iterable[str]) -> bool:
    """True if a request's application token is one of the portal's, compared in constant time.

    Args:
        application_token: Of the request; an empty one is never genuine.
        accepted: The tokens that were stored for the portal, such as `Installation.application_tokens`.
    """
    given = application_token.encode("utf-8", "surrogatepass")
    known = [token.encode("utf-8", "surrogatepass") for token in accepted if token]
    if not given or len(given) > _LONGEST:
        return False
    # All are compared, so that the time tells nothing of which one fits.
    return sum(hmac.compare_digest(given, token) for token in known) > 0
