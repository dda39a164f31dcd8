"""What the entries share: checks of their arguments, and the gate that their requests pass."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from b24oauth.checks import check_function
from b24oauth.errors import ConfigurationError
from b24oauth.limits.gate import Gate, Gates, gate_of
from b24oauth.limits.manager import RestrictionManager
from b24oauth.limits.params import RestrictionParams
from b24oauth.models import ApiVersion, B24OAuthParams, B24OAuthSecret
from b24oauth.observing import Observer
from b24oauth.wire import Wire
from b24oauth.wire.choosing import library_of

__all__ = [
    "api_version",
    "check_connections",
    "check_identity",
    "check_limits",
    "check_logger",
    "checked_observers",
    "gate_for",
]

_OVER_HTTPX_CLIENT: Final = 10


def check_limits(params: object, manager: object) -> None:
    """Refuses limits that are none, or given twice.

    Raises:
        ConfigurationError: Names the argument.
    """
    if not isinstance(params, RestrictionParams | None):
        raise ConfigurationError("restriction_params must be RestrictionParams, or None for the usual ones")
    if not isinstance(manager, RestrictionManager | None):
        raise ConfigurationError(
            "restriction_manager must be a RestrictionManager, or None for one of the client's own"
        )
    if params is not None and manager is not None:
        raise ConfigurationError("restriction_params belong into the restriction_manager: give one of the two")


def checked_observers(observers: Iterable[Observer]) -> tuple[Observer, ...]:
    """The observers, each of which can be called.

    Raises:
        ConfigurationError: Names the argument.
    """
    if not hasattr(observers, "__iter__"):
        raise ConfigurationError("observers must be functions in a list, which are called with each event")
    checked: tuple[Any, ...] = tuple(observers)
    for number, observer in enumerate(checked):
        check_function(observer, f"observers[{number}]")
    return checked


def check_logger(logger: object) -> None:
    """Refuses what has not the methods of a logger.

    Raises:
        ConfigurationError: Names the argument.
    """
    missing = [name for name in ("debug", "info", "warning", "error") if not callable(getattr(logger, name, None))]
    if missing:
        raise ConfigurationError(f"logger must have the methods of a logging.Logger; {', '.join(missing)} is missing")


def api_version(version: ApiVersion) -> ApiVersion:
    """The API version of this name.

    Raises:
        ConfigurationError: Names the argument.
    """
    try:
        return ApiVersion(version)
    except ValueError:
        message = 'version must be ApiVersion.V2 or ApiVersion.V3, or "v2" or "v3"'
    raise ConfigurationError(message)


def gate_for(
    most: int | None, shared: RestrictionManager | None, http_client: object, limits: RestrictionManager
) -> Gate | Gates:
    """What bounds the requests of this client, of all that share its limits, and of all over its httpx client."""
    gates: list[Gate] = []
    if most is not None:
        gates.append(Gate(most))
    if http_client is not None and library_of(http_client) in ("httpx", "httpx2"):
        # The pool of an httpx client looks at all of its connections and waiting requests for each request.
        gates.append(gate_of(http_client, _OVER_HTTPX_CLIENT))
    # Last, so that no call keeps its place here from another client while it waits at a gate of its own.
    if shared is not None:
        gates.append(shared.gate)
    if len(gates) > 1:
        return Gates(gates)
    return gates[0] if gates else limits.gate


def check_connections(wire: object, max_concurrency: int | None) -> None:
    """Refuses what is not a wire or not a number of connections.

    Raises:
        ConfigurationError: Names the argument.
    """
    if not isinstance(wire, Wire | None):
        raise ConfigurationError("wire must be a b24oauth.wire.Wire, or None for connections of the client's own")
    whole = isinstance(max_concurrency, int) and not isinstance(max_concurrency, bool)
    if max_concurrency is not None and not (whole and max_concurrency >= 1):
        raise ConfigurationError("max_concurrency must be a whole number of at least 1, or None for the usual one")


def check_identity(auth_options: object, oauth_secret: object, trusted_hosts: object, http_method: str) -> None:
    """Refuses what cannot be a token pair, an application's credentials, trusted hosts, or a way to renew.

    Raises:
        ConfigurationError: Names the argument, and says what it must be.
    """
    if not isinstance(auth_options, B24OAuthParams):
        raise ConfigurationError("auth_options must be B24OAuthParams; use B24OAuthParams.from_dict() for a mapping")
    if not isinstance(oauth_secret, B24OAuthSecret):
        raise ConfigurationError("oauth_secret must be B24OAuthSecret; use B24OAuthSecret.from_dict() for a mapping")
    if isinstance(trusted_hosts, str):
        raise ConfigurationError("trusted_oauth_hosts must be a collection of hosts, not one string")
    if http_method not in ("POST", "GET"):
        raise ConfigurationError('refresh_http_method must be "POST" or "GET"')
