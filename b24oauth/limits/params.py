"""Settings for rate limits and retries, and presets for common workloads."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

import attrs
from attrs.validators import and_, ge, gt, instance_of, le, lt

from b24oauth.checks import check_type
from b24oauth.errors import InvalidDataError
from b24oauth.shapes import is_sequence

__all__ = ["AdaptiveConfig", "OperatingLimitConfig", "ParamsFactory", "RateLimitConfig", "RestrictionParams"]


def _in_range(*validators: Any, whole: bool = False) -> Any:
    """Validator that raises `InvalidDataError` naming a field that is out of range."""
    check = and_(instance_of(int if whole else (int, float)), *validators)
    kind = "whole number" if whole else "number"

    def validate(self_: object, field: attrs.Attribute[Any], value: Any) -> None:
        try:
            check(self_, field, math.nan if isinstance(value, bool) else value)
        except (TypeError, ValueError):
            limits = ", ".join(f"{v.compare_op} {v.bound}" for v in validators)
            problem = f"{field.name} must be a {kind} {limits}"
        else:
            return
        raise InvalidDataError(type(self_).__name__, [problem])

    return validate


def _is_a(kind: type, *, or_none: bool = False) -> Any:
    """Says which field is of another type with an error of ours."""
    what = "True or False" if kind is bool else kind.__name__

    def validate(self_: object, field: attrs.Attribute[Any], value: Any) -> None:
        if not (isinstance(value, kind) or (or_none and value is None)):
            problem = f"{field.name} must be {what}{' or None' if or_none else ''}, not {type(value).__name__}"
            raise InvalidDataError(type(self_).__name__, [problem])

    return validate


def _codes(codes: Iterable[str]) -> tuple[str, ...]:
    # A single str would be iterated letter by letter. Values that are not collections are reported by the validator.
    if isinstance(codes, str) or not hasattr(codes, "__iter__"):
        return (codes,)  # type: ignore[return-value]  # the validator refuses it
    return tuple(codes)


def _are_codes(self_: object, field: attrs.Attribute[Any], value: Any) -> None:
    if not is_sequence(value) or not all(isinstance(code, str) and code for code in value):
        raise InvalidDataError(type(self_).__name__, [f"{field.name} must be error codes: one text, or several"])


@attrs.frozen(kw_only=True)
class RateLimitConfig:
    """The portal's leaky bucket for requests.

    Attributes:
        burst_limit: Requests that may be sent at once.
        drain_rate: Requests a second in the long run.
        adaptive_enabled: Estimate the portal's real rate from its rejections and raise it again slowly.

    Source: https://apidocs.bitrix24.com/limits.html
    """

    burst_limit: float = attrs.field(default=50.0, validator=_in_range(ge(1), lt(math.inf)))
    drain_rate: float = attrs.field(default=2.0, validator=_in_range(gt(0), lt(math.inf)))
    adaptive_enabled: bool = attrs.field(default=True, validator=_is_a(bool))

    def part(self, share: float) -> RateLimitConfig:
        """The bucket of a process that gets a part of the portal's.

        Args:
            share: The part, at most 1.
        """
        if share == 1:
            return self
        return attrs.evolve(self, burst_limit=max(1.0, self.burst_limit * share), drain_rate=self.drain_rate * share)


@attrs.frozen(kw_only=True)
class OperatingLimitConfig:
    """The portal's budget of execution time for one method.

    Attributes:
        window: Length of the sliding window, seconds.
        limit: Execution time allowed within the window, seconds.
        heavy_percent: Share of the limit from which a method counts as heavy, percent.

    Source: https://apidocs.bitrix24.com/limits.html
    """

    window: float = attrs.field(default=600.0, validator=_in_range(gt(0)))
    limit: float = attrs.field(default=480.0, validator=_in_range(gt(0)))
    heavy_percent: float = attrs.field(default=80.0, validator=_in_range(ge(0), le(100)))


@attrs.frozen(kw_only=True)
class AdaptiveConfig:
    """When and how long calls pause after slow ones.

    Attributes:
        enabled: Pause at all.
        threshold_percent: Share of the operating budget from which calls pause, percent.
        coefficient: Length of a pause as a fraction of the time until the budget is reset.
        max_delay: Longest pause, seconds.
    """

    enabled: bool = attrs.field(default=True, validator=_is_a(bool))
    threshold_percent: float = attrs.field(default=80.0, validator=_in_range(ge(0), le(100)))
    coefficient: float = attrs.field(default=0.01, validator=_in_range(ge(0)))
    max_delay: float = attrs.field(default=7.0, validator=_in_range(ge(0)))


@attrs.frozen(kw_only=True)
class RestrictionParams:
    """Limits and repeats of a client.

    Attributes:
        rate_limit: The portal's bucket for requests.
        operating_limit: The portal's budget of execution time.
        adaptive_config: Pauses after slow calls.
        max_retries: How often a call is sent, at most; 0 sends nothing.
        retry_delay: Initial retry delay in seconds; doubles with each retry.
        retry_on_network_error: Whether to retry a call that got no response. None (default): only if the call is safe
            to execute twice. True: always, as the JS SDK does. False: never.
        hard_error_codes: Further codes that are raised at once and never repeated.
        soft_error_codes: Further error codes that are returned inside the result.
        share: This process's part of the bucket: 1/N for N processes that do not share limits in another way.
    """

    rate_limit: RateLimitConfig = attrs.field(factory=RateLimitConfig, validator=_is_a(RateLimitConfig))
    operating_limit: OperatingLimitConfig = attrs.field(
        factory=OperatingLimitConfig, validator=_is_a(OperatingLimitConfig)
    )
    adaptive_config: AdaptiveConfig = attrs.field(factory=AdaptiveConfig, validator=_is_a(AdaptiveConfig))
    max_retries: int = attrs.field(default=3, validator=_in_range(ge(0), whole=True))
    retry_delay: float = attrs.field(default=1.0, validator=_in_range(ge(0), lt(math.inf)))
    retry_on_network_error: bool | None = attrs.field(default=None, validator=_is_a(bool, or_none=True))
    hard_error_codes: tuple[str, ...] = attrs.field(default=(), converter=_codes, validator=_are_codes)
    soft_error_codes: tuple[str, ...] = attrs.field(default=(), converter=_codes, validator=_are_codes)
    share: float = attrs.field(default=1.0, validator=_in_range(gt(0), le(1)))


_DEFAULT: Final = RestrictionParams()


class ParamsFactory:
    """Presets with the same values as the JS SDK."""

    @staticmethod
    def get_default() -> RestrictionParams:
        """For most portals."""
        return _DEFAULT

    @staticmethod
    def get_enterprise() -> RestrictionParams:
        """For portals on the Enterprise plan."""
        return RestrictionParams(rate_limit=RateLimitConfig(burst_limit=250.0, drain_rate=5.0))

    @staticmethod
    def get_batch_processing() -> RestrictionParams:
        """For long-running background jobs that leave capacity for other clients."""
        return RestrictionParams(
            rate_limit=RateLimitConfig(burst_limit=30.0, drain_rate=1.0),
            operating_limit=OperatingLimitConfig(heavy_percent=50.0),
            adaptive_config=AdaptiveConfig(threshold_percent=50.0, coefficient=0.015, max_delay=10.0),
            max_retries=5,
        )

    @staticmethod
    def get_realtime() -> RestrictionParams:
        """For interactive programs: fails instead of waiting."""
        return RestrictionParams(
            adaptive_config=AdaptiveConfig(enabled=False, threshold_percent=100.0, coefficient=0.001, max_delay=480.0),
            max_retries=1,
        )

    @classmethod
    def from_tariff_plan(cls, plan: str) -> RestrictionParams:
        """For a portal on this plan, for example "enterprise"; what is not known gets the default."""
        check_type(plan, str, "plan")
        return cls.get_enterprise() if plan.lower() == "enterprise" else cls.get_default()
