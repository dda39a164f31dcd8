"""Code shared by `B24OAuth` and `B24Hook`: argument checks and concurrency limits."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, cast

import attrs

from b24oauth.checks import at_least, check_function, check_text
from b24oauth.errors import ConfigurationError, UnknownPortalError
from b24oauth.limits.gate import Gate, Gates, gate_of
from b24oauth.limits.manager import RestrictionManager
from b24oauth.limits.params import RestrictionParams
from b24oauth.limits.shared import SharedRestrictionManager
from b24oauth.models import ApiVersion, B24OAuthParams, B24OAuthSecret
from b24oauth.oauth.pairs import is_of_user
from b24oauth.observing import Log, LoggerLike, Observer
from b24oauth.storing import TokenKey, TokenStore
from b24oauth.wire import TransportName, Wire
from b24oauth.wire.choosing import library_of

if TYPE_CHECKING:
    from b24oauth.wire.foreign import ForeignClient

__all__ = [
    "ClientOptions",
    "api_version",
    "check_connections",
    "check_hosts",
    "check_identity",
    "check_is_store",
    "check_limits",
    "check_logger",
    "check_secret",
    "check_store",
    "checked_observers",
    "gate_for",
    "limits_for",
    "stored_pair",
    "warn_in_browsers",
]


class ClientOptions(TypedDict, total=False):
    """Arguments of `B24OAuth` that do not say whose client it is."""

    restriction_params: RestrictionParams | None
    restriction_manager: RestrictionManager | None
    http_client: ForeignClient | None
    transport: TransportName
    max_concurrency: int | None
    logger: LoggerLike | None
    observers: Iterable[Observer]
    timeout: float | None
    connect_timeout: float | None
    max_response_size: int
    proxy: str | None
    ssl_context: ssl.SSLContext | None
    wire: Wire | None
    close_timeout: float
    trusted_oauth_hosts: Collection[str]
    refresh_http_method: Literal["POST", "GET"]
    refresh_attempts: int
    clock: Callable[[], float]


_OVER_HTTPX_CLIENT: Final = 10
_OF_A_STORE: Final = ("load", "save", "delete", "keys", "lease")


def check_limits(params: object, manager: object) -> None:
    """Checks that at most one of restriction_params and restriction_manager is given, with the right type.

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


def limits_for(
    manager: RestrictionManager | None,
    params: RestrictionParams | None,
    store: object,
    member_id: str,
    clock: Callable[[], float],
) -> RestrictionManager:
    """The limits of a client: those that are given, those that its store shares between processes, or its own.

    Raises:
        ConfigurationError: Names the argument.
    """
    check_limits(params, manager)
    if manager is not None:
        return manager
    shared = getattr(store, "shared_limits", None)
    if shared is None or (params is not None and params.share != 1):
        return RestrictionManager(params, clock=clock)
    return SharedRestrictionManager(shared(member_id), params, clock=clock)


def checked_observers(observers: Iterable[Observer]) -> tuple[Observer, ...]:
    """Validates the observers and returns them as a tuple.

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
    """Checks that the object has the methods of a logger.

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
    """Combines the concurrency limits of this client, of its shared RestrictionManager, and of its httpx client."""
    gates: list[Gate] = []
    if most is not None:
        gates.append(Gate(most))
    if http_client is not None and library_of(http_client) in ("httpx", "httpx2"):
        # The pool of an httpx client looks at all of its connections and waiting requests for each request.
        gates.append(gate_of(http_client, _OVER_HTTPX_CLIENT))
    # The shared gate comes last, so that a call does not occupy a shared place while it waits for its own client's
    # gate.
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
    """Checks auth_options, oauth_secret, trusted_oauth_hosts and refresh_http_method.

    Raises:
        ConfigurationError: Names the argument, and says what it must be.
    """
    if not isinstance(auth_options, B24OAuthParams):
        raise ConfigurationError("auth_options must be B24OAuthParams; use B24OAuthParams.from_dict() for a mapping")
    check_secret(oauth_secret)
    if isinstance(trusted_hosts, str):
        raise ConfigurationError("trusted_oauth_hosts must be a collection of hosts, not one string")
    check_hosts(trusted_hosts, "trusted_oauth_hosts")
    if http_method not in ("POST", "GET"):
        raise ConfigurationError('refresh_http_method must be "POST" or "GET"')


def check_secret(secret: object) -> B24OAuthSecret:
    """The secret, if it is one.

    Raises:
        ConfigurationError: Names the argument, and says what it must be.
    """
    if not isinstance(secret, B24OAuthSecret):
        raise ConfigurationError("oauth_secret must be B24OAuthSecret; use B24OAuthSecret.from_dict() for a mapping")
    return secret


def check_hosts(hosts: object, name: str) -> None:
    """Refuses trusted hosts that would never match.

    Raises:
        ConfigurationError: Names the argument, and says what it must be.
    """
    for host in cast("Iterable[object]", hosts):
        if not isinstance(host, str) or "/" in host:
            raise ConfigurationError(f'{name} must hold names as "host" or "host:port", without a scheme or a path')


def check_store(store: object, auth_options: B24OAuthParams, user_id: int | None) -> None:
    """Checks the token store, and that the pair has the IDs needed as a store key.

    Raises:
        ConfigurationError: Names the argument, and says what it must be.
    """
    if user_id is not None:
        at_least(1)(user_id, "user_id")
    if not is_of_user(auth_options.user_id, TokenKey("", "", user_id)):
        raise ConfigurationError(
            f"user_id: the pair in auth_options is of user {auth_options.user_id}, and the client is for {user_id}"
        )
    if store is None:
        return
    check_is_store(store, "token_store")
    if not auth_options.member_id:
        raise ConfigurationError(
            "member_id: a token_store keeps pairs by it, so auth_options must name it; every response of the "
            "OAuth server and every event does"
        )


async def stored_pair(store: object, oauth_secret: object, member_id: object, user_id: int | None) -> B24OAuthParams:
    """The pair of a portal or user, from a store.

    Raises:
        UnknownPortalError: The store has none.
        StoreError: The store cannot be read.
        ConfigurationError: Names the argument.
    """
    check_is_store(store, "store")
    secret = check_secret(oauth_secret)
    check_text(member_id, "member_id")
    key = TokenKey(secret.client_id, str(member_id), user_id)
    stored = await cast("TokenStore", store).load(key)
    if stored is None:
        user = "" if user_id is None else f" and user {user_id}"
        raise UnknownPortalError(
            f"The store has no token pair of portal {member_id}{user} for application {secret.client_id}: "
            "save the pair of the installation event first"
        )
    params = stored.params
    return params if params.member_id else attrs.evolve(params, member_id=key.member_id)


def check_is_store(store: object, name: str) -> None:
    """Refuses what does not keep token pairs.

    Raises:
        ConfigurationError: Names the argument, and what it lacks.
    """
    missing = [method for method in _OF_A_STORE if not callable(getattr(store, method, None))]
    if missing:
        raise ConfigurationError(
            f"{name} must be a b24oauth.stores.TokenStore; it has no {', '.join(missing)}. Stores made for 0.1.0 "
            "find pairs by a key and by revision now: the changelog shows how to convert one"
        )


def warn_in_browsers(log: Log) -> None:
    """Logs a warning if Python runs in a browser (Pyodide), where the client secret is exposed."""
    if sys.platform == "emscripten":
        log.warning(
            "B24OAuth runs in a browser, where everybody can read the client secret: use it on a server",
            code="B24OAUTH_CLIENT_SIDE_WARNING",
        )
