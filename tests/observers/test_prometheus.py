"""What Prometheus scrapes of an application."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from b24oauth import ConfigurationError, RateLimitConfig, RestrictionParams, SdkError
from b24oauth.observers import PrometheusObserver
from b24oauth.testing import faults
from tests.support.clients import UNLIMITED, connected, fake_portal

pytestmark = pytest.mark.anyio

QUICK = RestrictionParams(rate_limit=UNLIMITED.rate_limit, retry_delay=0.5)


def scraped(registry: CollectorRegistry, name: str) -> dict[tuple[str, ...], float]:
    """The samples of a name by the values of their labels, these in the order of their names."""
    text = generate_latest(registry).decode()
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def labels(registry: CollectorRegistry) -> set[str]:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {label for family in families for sample in family.samples for label in sample.labels}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


async def test_calls_are_counted_by_method_version_and_outcome(registry: CollectorRegistry) -> None:
    portal = fake_portal(rows={"crm.deal": 2}, latency=0.2)
    portal.inject(faults.drop_after(), on="crm.deal.add")
    async with connected(portal, observers=[PrometheusObserver(registry)], restriction_params=QUICK) as b24:
        for _ in range(3):
            await b24.call("crm.deal.get", {"id": 1})
        await b24.v3.call("tasks.task.list")
        for method, params in (("crm.deal.get", {"id": 9}), ("crm.deal.add", {"fields": {}})):
            with pytest.raises(SdkError):
                await b24.call(method, params)
        cancelled = asyncio.create_task(b24.call("crm.deal.get", {"id": 1}))
        await asyncio.sleep(0.1)
        cancelled.cancel()
        await asyncio.wait({cancelled})
    assert scraped(registry, "b24oauth_calls_total") == {
        ("v2", "", "crm.deal.get", "success"): 3,
        ("v3", "", "tasks.task.list", "success"): 1,
        ("v2", "NotFoundError", "crm.deal.get", "error"): 1,
        ("v2", "AmbiguousResultError", "crm.deal.add", "ambiguous"): 1,
        ("v2", "CancelledError", "crm.deal.get", "cancelled"): 1,
    }
    assert scraped(registry, "b24oauth_call_duration_seconds_count")["v2", "crm.deal.get"] == 5
    assert scraped(registry, "b24oauth_call_duration_seconds_sum")["v2", "crm.deal.get"] == pytest.approx(0.9)


async def test_retries_waits_refreshes_and_the_level_of_the_bucket(registry: CollectorRegistry) -> None:
    portal = fake_portal(refresh_latency=0.4)
    portal.inject(faults.status(500, error="INTERNAL"), on="profile", times=2)
    limits = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=2, drain_rate=1), retry_delay=0.1)
    observer = PrometheusObserver(registry)
    async with connected(portal, portal.issue(expired=True), observers=[observer], restriction_params=limits) as b24:
        await asyncio.gather(*(b24.call("profile") for _ in range(3)))
        portal.revoke_all()
        portal.expire_tokens()
        with pytest.raises(SdkError):
            await b24.call("profile")
    retried = sum(scraped(registry, "b24oauth_retries_total").values())
    assert retried == 2
    assert scraped(registry, "b24oauth_wait_duration_seconds_count")[("rate",)] > 0
    assert scraped(registry, "b24oauth_refreshes_total") == {
        ("", "renewed"): 1,
        ("RefreshTokenError", "error"): 1,
    }
    assert scraped(registry, "b24oauth_refresh_duration_seconds_sum")[()] == pytest.approx(0.8)
    requests = len(portal.requests) - len(portal.token_requests)
    assert scraped(registry, "b24oauth_bucket_level_ratio_count")[()] == requests
    assert 0 < scraped(registry, "b24oauth_bucket_level_ratio_sum")[()] <= requests


async def test_nothing_that_grows_with_portals_users_or_requests_is_a_label(registry: CollectorRegistry) -> None:
    observer = PrometheusObserver(registry)
    for number in range(3):
        portal = fake_portal(origin=f"https://portal{number}.example")
        async with connected(portal, portal.issue(expired=True), observers=[observer]) as b24:
            await b24.call("profile")
    assert labels(registry) == {"method", "api", "outcome", "error_type", "le"}
    assert scraped(registry, "b24oauth_calls_total") == {("v2", "", "profile", "success"): 3}


async def test_the_portal_is_a_label_when_it_is_asked_for(registry: CollectorRegistry) -> None:
    observer = PrometheusObserver(registry, portal_label=True)
    for number in range(2):
        portal = fake_portal(origin=f"https://portal{number}.example")
        portal.inject(faults.status(500, error="INTERNAL"), on="profile")
        async with connected(portal, portal.issue(expired=True), observers=[observer], restriction_params=QUICK) as b24:
            await b24.call("profile")
    names = {"portal0.example", "portal1.example"}
    for metric in ("calls_total", "retries_total", "refreshes_total", "bucket_level_ratio_count"):
        samples = scraped(registry, f"b24oauth_{metric}")
        assert {value for key in samples for value in key if value in names} == names, metric


def test_a_second_observer_of_a_registry_is_refused_and_names_the_remedy(registry: CollectorRegistry) -> None:
    PrometheusObserver(registry)
    before = generate_latest(registry)
    with pytest.raises(ConfigurationError, match="registry: .* give it to all clients"):
        PrometheusObserver(registry)
    assert generate_latest(registry) == before


def test_a_name_that_is_taken_leaves_the_registry_as_it_was(registry: CollectorRegistry) -> None:
    taken = Counter("b24oauth_refreshes", "Of somebody else.", registry=registry)
    before = generate_latest(registry)
    with pytest.raises(ConfigurationError, match="registry"):
        PrometheusObserver(registry)
    assert generate_latest(registry) == before
    registry.unregister(taken)
    PrometheusObserver(registry)


def test_names_follow_the_conventions_of_prometheus(registry: CollectorRegistry) -> None:
    PrometheusObserver(registry)
    for family in registry.collect():
        assert family.name.startswith("b24oauth_")
        unit: Any = "counter" if family.type == "counter" else family.name.rpartition("_")[2]
        assert unit in ("counter", "seconds", "ratio"), family.name
        assert family.documentation.endswith(".")
