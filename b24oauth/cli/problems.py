"""What a command prints when it fails: what happened, its code, and what to do."""

from __future__ import annotations

from typing import Final

from b24oauth import errors

__all__ = ["UsageError", "explained", "remedy"]

_REMEDIES: Final[tuple[tuple[type[errors.SdkError], str], ...]] = (
    (errors.ExpiredTokenError, "renew the token pair with `b24oauth tokens refresh`"),
    (errors.AuthRefusedError, "authorize the application again with `b24oauth login DOMAIN`, or make a new webhook"),
    (errors.AccessDeniedError, "give the application the scope that the method needs, or the user the permission"),
    (errors.NotFoundError, "check the identifier and the name of the method: `b24oauth methods TEXT` finds names"),
    (errors.InvalidCallParamsError, "correct the parameters; nothing was sent"),
    (errors.ValidationError, "correct the parameters as the method documents them"),
    (errors.RateLimitError, "wait a little; other programs may use up the portal's limit"),
    (errors.OperatingLimitError, "wait up to ten minutes: `b24oauth limits` shows the execution time of each method"),
    (errors.PortalBlockedError, "ask the administrator of the portal"),
    (errors.AmbiguousResultError, "look whether it was executed before you repeat it"),
    (errors.RequestTimeoutError, "try again, or ask for less at once"),
    (errors.NetworkError, "check the connection: `b24oauth doctor` shows where it ends"),
    (errors.BadResponseError, "check the address: `b24oauth doctor` shows who answers there"),
    (errors.UntrustedHostError, "list a host of your own in B24OAUTH_TRUSTED_HOSTS"),
    (errors.RefreshTokenError, "authorize the application again with `b24oauth login DOMAIN`"),
    (errors.StoreRecordError, "check B24OAUTH_KEYS; `b24oauth tokens encrypt` encrypts records that are not encrypted"),
)


class UsageError(Exception):
    """The command was called wrongly, or lacks something that its user must give; the message says what."""


def explained(error: BaseException) -> str | None:
    """The lines to print for an error of the library or the operating system; None for a programming error.

    Args:
        error: What was raised.
    """
    if isinstance(error, errors.SdkError):
        hint = remedy(error)
        return f"{error.code}: {error.message}" + (f"\n{hint[0].upper()}{hint[1:]}." if hint else "")
    return str(error) if isinstance(error, OSError) else None


def remedy(error: errors.SdkError) -> str:
    """What to do about an error; empty if its message says all.

    Args:
        error: What was raised.
    """
    if isinstance(error, errors.RefreshTokenError) and not error.needs_reauth:
        return "try again: the OAuth server did not answer as expected"
    return next((text for kind, text in _REMEDIES if isinstance(error, kind)), "")
