from __future__ import annotations

import math
from typing import Any

import attrs
import pytest

from b24oauth import ConfigurationError, ParamsFactory, RateLimitConfig, RestrictionParams
from b24oauth.errors import InvalidDataError
from b24oauth.limits import AdaptiveConfig, OperatingLimitConfig


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (RateLimitConfig, "burst_limit", 0),
        (RateLimitConfig, "burst_limit", math.inf),
        (RateLimitConfig, "burst_limit", math.nan),
        (RateLimitConfig, "burst_limit", "50"),
        (RateLimitConfig, "drain_rate", 0),
        (RateLimitConfig, "drain_rate", -1),
        (RateLimitConfig, "drain_rate", math.inf),
        (OperatingLimitConfig, "window", 0),
        (OperatingLimitConfig, "limit", 0),
        (OperatingLimitConfig, "heavy_percent", 101),
        (AdaptiveConfig, "threshold_percent", -1),
        (AdaptiveConfig, "coefficient", -0.1),
        (AdaptiveConfig, "max_delay", None),
        (RestrictionParams, "max_retries", -1),
        (RestrictionParams, "max_retries", 2.5),
        (RestrictionParams, "retry_delay", -1),
        (RestrictionParams, "retry_delay", math.inf),
    ],
)
def test_a_number_out_of_range_is_named(cls: Any, name: str, value: Any) -> None:
    with pytest.raises(InvalidDataError, match=f"{cls.__name__}: {name} must be a (whole )?number [<>]") as caught:
        cls(**{name: value})
    assert caught.value.__context__ is None


def test_wrong_use_is_a_configuration_error_and_a_value_error() -> None:
    with pytest.raises(ConfigurationError):
        RateLimitConfig(drain_rate=0)
    with pytest.raises(ValueError, match="drain_rate"):
        RateLimitConfig(drain_rate=0)


@pytest.mark.parametrize("value", [1, "yes", 0])
def test_the_rule_for_network_errors_has_three_values(value: Any) -> None:
    with pytest.raises((TypeError, ConfigurationError)):
        RestrictionParams(retry_on_network_error=value)


@pytest.mark.parametrize("codes", ["MY_CODE", ["MY_CODE"], ("MY_CODE",), {"MY_CODE"}])
def test_further_codes_are_kept_as_a_tuple_of_codes(codes: Any) -> None:
    given = RestrictionParams(hard_error_codes=codes, soft_error_codes=codes)
    assert given.hard_error_codes == given.soft_error_codes == ("MY_CODE",)


def test_params_cannot_be_changed() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        RestrictionParams().max_retries = 5  # type: ignore[misc]  # the attempt is the test


def preset(params: RestrictionParams) -> tuple[float, ...]:
    rate, operating, adaptive = params.rate_limit, params.operating_limit, params.adaptive_config
    return (
        rate.burst_limit,
        rate.drain_rate,
        operating.heavy_percent,
        adaptive.threshold_percent,
        adaptive.coefficient,
        adaptive.max_delay,
        params.max_retries,
    )


def test_the_presets_have_the_references_numbers_in_seconds() -> None:
    assert preset(ParamsFactory.get_default()) == (50, 2, 80, 80, 0.01, 7, 3)
    assert preset(ParamsFactory.get_enterprise()) == (250, 5, 80, 80, 0.01, 7, 3)
    assert preset(ParamsFactory.get_batch_processing()) == (30, 1, 50, 50, 0.015, 10, 5)
    assert preset(ParamsFactory.get_realtime()) == (50, 2, 80, 100, 0.001, 480, 1)
    assert not ParamsFactory.get_realtime().adaptive_config.enabled


def test_the_defaults_are_the_portals() -> None:
    assert OperatingLimitConfig() == OperatingLimitConfig(window=600, limit=480, heavy_percent=80)
    assert (RestrictionParams().retry_delay, RestrictionParams().retry_on_network_error) == (1.0, None)


@pytest.mark.parametrize("plan", ["enterprise", "Enterprise"])
def test_the_enterprise_plan_has_a_larger_bucket(plan: str) -> None:
    assert ParamsFactory.from_tariff_plan(plan) == ParamsFactory.get_enterprise()


@pytest.mark.parametrize("plan", ["basic", "", "unheard of"])
def test_any_other_plan_gets_the_default(plan: str) -> None:
    assert ParamsFactory.from_tariff_plan(plan) == ParamsFactory.get_default()
