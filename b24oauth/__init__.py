"""The asyncio client through which Python talks to Bitrix24 over OAuth 2.0.

A name is loaded when it is first asked for, so that importing the package costs nothing by itself.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from b24oauth._version import __version__

if TYPE_CHECKING:
    from b24oauth.client import B24OAuth
    from b24oauth.downloads import Download
    from b24oauth.error_codes import HARD_ERROR_CODES, SOFT_ERROR_CODES
    from b24oauth.errors import (
        AccessDeniedError,
        AjaxError,
        AmbiguousResultError,
        AuthRefusedError,
        BadResponseError,
        BatchError,
        ClientStateError,
        ConfigurationError,
        ConflictError,
        ExpiredTokenError,
        IncompleteBatchError,
        InvalidCallParamsError,
        InvalidDataError,
        InvalidParamsError,
        ListChangedError,
        NetworkError,
        NotFoundError,
        OperatingLimitError,
        PortalBlockedError,
        PortalMovedError,
        RateLimitError,
        RefreshTokenError,
        RequestInfo,
        RequestTimeoutError,
        SdkError,
        TokenPersistenceError,
        UntrustedHostError,
        ValidationError,
    )
    from b24oauth.files import read_file
    from b24oauth.hook import B24Hook
    from b24oauth.limits.adaptive import AdaptiveDelayer
    from b24oauth.limits.manager import RestrictionManager, RestrictionManagerStats
    from b24oauth.limits.operating import OperatingLimiter
    from b24oauth.limits.params import (
        AdaptiveConfig,
        OperatingLimitConfig,
        ParamsFactory,
        RateLimitConfig,
        RestrictionParams,
    )
    from b24oauth.limits.rate import RateLimiter
    from b24oauth.models import (
        ApiVersion,
        AuthData,
        B24OAuthParams,
        B24OAuthSecret,
        EnumAppStatus,
        HandlerRefreshAuth,
        RefreshedAuth,
    )
    from b24oauth.oauth.manager import AuthOAuthManager
    from b24oauth.oauth.stores import MemoryTokenStore, TokenStore
    from b24oauth.observing import LoggerLike, truncate_for_log
    from b24oauth.protocol.batch_ref_v2 import BatchRefV2
    from b24oauth.protocol.batch_ref_v3 import BatchRefV3
    from b24oauth.protocol.decoding import ajax_result
    from b24oauth.protocol.endpoints import DEFAULT_OAUTH_HOSTS
    from b24oauth.protocol.files import File
    from b24oauth.protocol.filter_v3 import FilterV3
    from b24oauth.protocol.openapi import V3Method, V3Param
    from b24oauth.redaction import SENSITIVE_KEYS, redact
    from b24oauth.rest.client import HttpClient
    from b24oauth.rest.stats import HttpStats, MethodStats
    from b24oauth.result import AjaxQuery, AjaxResult, PayloadTime, Result, SuccessPayload

__all__ = [
    "DEFAULT_OAUTH_HOSTS",
    "HARD_ERROR_CODES",
    "SENSITIVE_KEYS",
    "SOFT_ERROR_CODES",
    "AccessDeniedError",
    "AdaptiveConfig",
    "AdaptiveDelayer",
    "AjaxError",
    "AjaxQuery",
    "AjaxResult",
    "AmbiguousResultError",
    "ApiVersion",
    "AuthData",
    "AuthOAuthManager",
    "AuthRefusedError",
    "B24Hook",
    "B24OAuth",
    "B24OAuthParams",
    "B24OAuthSecret",
    "BadResponseError",
    "BatchError",
    "BatchRefV2",
    "BatchRefV3",
    "ClientStateError",
    "ConfigurationError",
    "ConflictError",
    "Download",
    "EnumAppStatus",
    "ExpiredTokenError",
    "File",
    "FilterV3",
    "HandlerRefreshAuth",
    "HttpClient",
    "HttpStats",
    "IncompleteBatchError",
    "InvalidCallParamsError",
    "InvalidDataError",
    "InvalidParamsError",
    "ListChangedError",
    "LoggerLike",
    "MemoryTokenStore",
    "MethodStats",
    "NetworkError",
    "NotFoundError",
    "OperatingLimitConfig",
    "OperatingLimitError",
    "OperatingLimiter",
    "ParamsFactory",
    "PayloadTime",
    "PortalBlockedError",
    "PortalMovedError",
    "RateLimitConfig",
    "RateLimitError",
    "RateLimiter",
    "RefreshTokenError",
    "RefreshedAuth",
    "RequestInfo",
    "RequestTimeoutError",
    "RestrictionManager",
    "RestrictionManagerStats",
    "RestrictionParams",
    "Result",
    "SdkError",
    "SuccessPayload",
    "TokenPersistenceError",
    "TokenStore",
    "UntrustedHostError",
    "V3Method",
    "V3Param",
    "ValidationError",
    "__version__",
    "ajax_result",
    "read_file",
    "redact",
    "truncate_for_log",
]

# Where each name lives, as type checkers read it above.
_NAMES = {
    "client": "B24OAuth",
    "downloads": "Download",
    "error_codes": "HARD_ERROR_CODES SOFT_ERROR_CODES",
    "errors": (
        "AccessDeniedError AjaxError AmbiguousResultError AuthRefusedError BadResponseError BatchError "
        "ClientStateError ConfigurationError ConflictError ExpiredTokenError IncompleteBatchError "
        "InvalidCallParamsError InvalidDataError InvalidParamsError ListChangedError NetworkError "
        "NotFoundError OperatingLimitError PortalBlockedError PortalMovedError RateLimitError "
        "RefreshTokenError RequestInfo RequestTimeoutError SdkError TokenPersistenceError UntrustedHostError "
        "ValidationError"
    ),
    "files": "read_file",
    "hook": "B24Hook",
    "rest.client": "HttpClient",
    "rest.stats": "HttpStats MethodStats",
    "limits.adaptive": "AdaptiveDelayer",
    "limits.manager": "RestrictionManager RestrictionManagerStats",
    "limits.operating": "OperatingLimiter",
    "limits.params": "AdaptiveConfig OperatingLimitConfig ParamsFactory RateLimitConfig RestrictionParams",
    "limits.rate": "RateLimiter",
    "models": "ApiVersion AuthData B24OAuthParams B24OAuthSecret EnumAppStatus HandlerRefreshAuth RefreshedAuth",
    "oauth.manager": "AuthOAuthManager",
    "oauth.stores": "MemoryTokenStore TokenStore",
    "observing": "LoggerLike truncate_for_log",
    "protocol.batch_ref_v2": "BatchRefV2",
    "protocol.batch_ref_v3": "BatchRefV3",
    "protocol.decoding": "ajax_result",
    "protocol.endpoints": "DEFAULT_OAUTH_HOSTS",
    "protocol.files": "File",
    "protocol.filter_v3": "FilterV3",
    "protocol.openapi": "V3Method V3Param",
    "redaction": "SENSITIVE_KEYS redact",
    "result": "AjaxQuery AjaxResult PayloadTime Result SuccessPayload",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    module = _HOMES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
