"""Rate limiting: the portal's request rate, the execution-time budget of each method, and pauses after slow calls."""

from b24oauth.limits.adaptive import AdaptiveDelayer
from b24oauth.limits.base import Admission, Bucket
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

__all__ = [
    "AdaptiveConfig",
    "AdaptiveDelayer",
    "Admission",
    "Bucket",
    "OperatingLimitConfig",
    "OperatingLimiter",
    "ParamsFactory",
    "RateLimitConfig",
    "RateLimiter",
    "RestrictionManager",
    "RestrictionManagerStats",
    "RestrictionParams",
]
