"""The limits of a client that a bot uses."""

from typing import Final

from b24oauth.limits.params import RateLimitConfig, RestrictionParams

__all__ = ["BOT_LIMITS"]

BOT_LIMITS: Final = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=1, drain_rate=2))
"""Two requests a second, which is what Bitrix24 allows bots: ``B24OAuth(…, restriction_params=BOT_LIMITS)``.

Source: https://apidocs.bitrix24.com/api-reference/chat-bots/chat-bots-v2/index.html
"""
