"""An asyncio client for the Bitrix24 REST API with OAuth 2.0.

These are the names that most programs need. All errors are in `b24oauth.errors`, what the limits consist of is in
`b24oauth.limits`, stores of token pairs are in `b24oauth.stores`. A name is loaded when it is first used, so that
importing the package costs nothing by itself.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any
from warnings import warn

from b24oauth._version import __version__

if TYPE_CHECKING:
    from b24oauth.actions.options import CallOptions, ListOptions
    from b24oauth.client import B24OAuth
    from b24oauth.errors import (
        AccessDeniedError,
        AjaxError,
        AmbiguousResultError,
        BatchError,
        ClientStateError,
        ConfigurationError,
        InvalidParamsError,
        ListChangedError,
        NetworkError,
        NotFoundError,
        RateLimitError,
        RefreshTokenError,
        SdkError,
        TokenPersistenceError,
    )
    from b24oauth.hook import B24Hook
    from b24oauth.limits.manager import RestrictionManager
    from b24oauth.limits.params import ParamsFactory, RateLimitConfig, RestrictionParams
    from b24oauth.models import ApiVersion, AuthData, B24OAuthParams, B24OAuthSecret, EnumAppStatus
    from b24oauth.portals import B24Portals
    from b24oauth.protocol.batch_ref_v2 import BatchRefV2
    from b24oauth.protocol.batch_ref_v3 import BatchRefV3
    from b24oauth.protocol.files import File
    from b24oauth.protocol.filter_v3 import FilterV3
    from b24oauth.result import AjaxResult, Result

__all__ = [
    "AccessDeniedError",
    "AjaxError",
    "AjaxResult",
    "AmbiguousResultError",
    "ApiVersion",
    "AuthData",
    "B24Hook",
    "B24OAuth",
    "B24OAuthParams",
    "B24OAuthSecret",
    "B24Portals",
    "BatchError",
    "BatchRefV2",
    "BatchRefV3",
    "CallOptions",
    "ClientStateError",
    "ConfigurationError",
    "EnumAppStatus",
    "File",
    "FilterV3",
    "InvalidParamsError",
    "ListChangedError",
    "ListOptions",
    "NetworkError",
    "NotFoundError",
    "ParamsFactory",
    "RateLimitConfig",
    "RateLimitError",
    "RefreshTokenError",
    "RestrictionManager",
    "RestrictionParams",
    "Result",
    "SdkError",
    "TokenPersistenceError",
    "__version__",
]

# Where each name lives, as type checkers read it above.
_NAMES = {
    "actions.options": "CallOptions ListOptions",
    "client": "B24OAuth",
    "errors": (
        "AccessDeniedError AjaxError AmbiguousResultError BatchError ClientStateError ConfigurationError "
        "InvalidParamsError ListChangedError NetworkError NotFoundError RateLimitError RefreshTokenError "
        "SdkError TokenPersistenceError"
    ),
    "hook": "B24Hook",
    "portals": "B24Portals",
    "limits.manager": "RestrictionManager",
    "limits.params": "ParamsFactory RateLimitConfig RestrictionParams",
    "models": "ApiVersion AuthData B24OAuthParams B24OAuthSecret EnumAppStatus",
    "protocol.batch_ref_v2": "BatchRefV2",
    "protocol.batch_ref_v3": "BatchRefV3",
    "protocol.files": "File",
    "protocol.filter_v3": "FilterV3",
    "result": "AjaxResult Result",
}
# Deprecated: names exported here in 0.1.0, with their new modules. Removed in 0.3.
_MOVED = {
    "error_codes": "HARD_ERROR_CODES SOFT_ERROR_CODES",
    "errors": (
        "AuthRefusedError BadResponseError ExpiredTokenError IncompleteBatchError InvalidCallParamsError "
        "InvalidDataError OperatingLimitError PortalBlockedError PortalMovedError RequestInfo "
        "RequestTimeoutError UntrustedHostError ValidationError"
    ),
    "files": "read_file",
    "limits": (
        "AdaptiveConfig AdaptiveDelayer OperatingLimitConfig OperatingLimiter RateLimiter RestrictionManagerStats"
    ),
    "models": "HandlerRefreshAuth RefreshedAuth",
    "oauth.manager": "AuthOAuthManager",
    "observing": "LoggerLike truncate_for_log",
    "protocol.decoding": "ajax_result",
    "protocol.endpoints": "DEFAULT_OAUTH_HOSTS",
    "protocol.openapi": "V3Method V3Param",
    "redaction": "SENSITIVE_KEYS redact",
    "rest.client": "HttpClient",
    "rest.stats": "HttpStats MethodStats",
    "result": "AjaxQuery PayloadTime SuccessPayload",
    "stores": "MemoryTokenStore TokenStore",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}
_NEW_HOMES = {name: module for module, names in _MOVED.items() for name in names.split()}

if not TYPE_CHECKING:  # a checker is to know no name that is not listed above

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
            return value
        if name in _NEW_HOMES:
            home = f"{__name__}.{_NEW_HOMES[name]}"
            text = f"{__name__}.{name} moves: write `from {home} import {name}`; {__name__} 0.3 will not have it here"
            warn(text, DeprecationWarning, stacklevel=2)
            return getattr(import_module(home), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
