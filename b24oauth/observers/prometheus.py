"""Metrics for Prometheus. Needs the extra `prometheus`; the application serves them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram

from b24oauth.errors import ConfigurationError
from b24oauth.events import (
    TRACE,
    CallFinished,
    Event,
    RefreshFinished,
    RequestStarted,
    Retrying,
    Throttled,
)
from b24oauth.observers.boundaries import LEVELS, SECONDS

__all__ = ["PrometheusObserver"]

Metric = TypeVar("Metric", Counter, Histogram)


class PrometheusObserver:
    """Counts the events of any number of clients.

    | metric | labels |
    |---|---|
    | `b24oauth_calls_total` | `method`, `api`, `outcome`, `error_type` |
    | `b24oauth_call_duration_seconds` | `method`, `api` |
    | `b24oauth_retries_total` | `method`, `api`, `error_type` |
    | `b24oauth_wait_duration_seconds` | `reason` |
    | `b24oauth_queue_duration_seconds` | |
    | `b24oauth_bucket_level_ratio` | |
    | `b24oauth_refreshes_total` | `outcome`, `error_type` |
    | `b24oauth_refresh_duration_seconds` | |

    `outcome` is "success", "error", "ambiguous" or "cancelled", of refreshes "renewed", "found" or "error";
    `error_type` is the class of the error, empty without one.

    Args:
        registry: Where the metrics are registered; None for the default one. Make one observer for a registry, and give
            it to all clients.
        portal_label: True to add the label `portal`, the host of the portal, to all metrics. Each portal then has
            series of its own: only for applications of a few portals.

    Attributes:
        level: Of the events that it needs.

    Raises:
        ConfigurationError: The registry has metrics of these names already.

    Source: https://prometheus.io/docs/practices/naming/
    """

    level: Final = TRACE

    def __init__(self, registry: CollectorRegistry | None = None, *, portal_label: bool = False) -> None:
        self._portal_label = portal_label
        extra = ("portal",) if portal_label else ()
        self._calls = Counter(
            "b24oauth_calls",
            "Calls that have ended.",
            ("method", "api", "outcome", "error_type", *extra),
            registry=None,
        )
        self._durations = Histogram(
            "b24oauth_call_duration_seconds",
            "Duration of calls, with waits and retries.",
            ("method", "api", *extra),
            registry=None,
            buckets=SECONDS,
        )
        self._retries = Counter(
            "b24oauth_retries",
            "Attempts after the first one.",
            ("method", "api", "error_type", *extra),
            registry=None,
        )
        self._waits = Histogram(
            "b24oauth_wait_duration_seconds",
            "Waits of calls for the limits of the portal.",
            ("reason", *extra),
            registry=None,
            buckets=SECONDS,
        )
        self._queued = Histogram(
            "b24oauth_queue_duration_seconds",
            "Time from the beginning of an attempt until its request is sent.",
            extra,
            registry=None,
            buckets=SECONDS,
        )
        self._levels = Histogram(
            "b24oauth_bucket_level_ratio",
            "Used part of the rate limit's burst, when a request is sent.",
            extra,
            registry=None,
            buckets=LEVELS,
        )
        self._refreshes = Counter(
            "b24oauth_refreshes",
            "Refreshes of token pairs.",
            ("outcome", "error_type", *extra),
            registry=None,
        )
        self._refresh_durations = Histogram(
            "b24oauth_refresh_duration_seconds",
            "Duration of refreshes, with saving.",
            extra,
            registry=None,
            buckets=SECONDS,
        )
        made = (
            self._calls,
            self._durations,
            self._retries,
            self._waits,
            self._queued,
            self._levels,
            self._refreshes,
            self._refresh_durations,
        )
        _register(REGISTRY if registry is None else registry, made)

    def __call__(self, event: Event) -> None:
        """Adds an event to the metrics.

        Args:
            event: What happened.
        """
        match event:
            case CallFinished():
                error = event.error_type or ""
                labels = (event.method, event.api)
                self._of(self._calls, event.portal, *labels, event.outcome, error).inc()
                self._of(self._durations, event.portal, *labels).observe(event.duration)
            case Retrying():
                self._of(self._retries, event.portal, event.method, event.api, event.error_type).inc()
            case Throttled():
                self._of(self._waits, event.portal, event.reason).observe(event.seconds)
            case RequestStarted():
                self._of(self._levels, event.portal).observe(event.bucket_level)
                if event.waited is not None:
                    self._of(self._queued, event.portal).observe(event.waited)
            case RefreshFinished():
                self._of(self._refreshes, event.portal, event.outcome, event.error_type or "").inc()
                self._of(self._refresh_durations, event.portal).observe(event.duration)
            case _:
                pass

    def _of(self, metric: Metric, portal: str, *labels: str) -> Metric:
        """The series of a metric with these values of its labels."""
        values = (*labels, portal) if self._portal_label else labels
        return metric.labels(*values) if values else metric


def _register(registry: CollectorRegistry, made: Iterable[Counter | Histogram]) -> None:
    """Registers all metrics, or none."""
    registered: list[Counter | Histogram] = []
    try:
        for metric in made:
            registry.register(metric)
            registered.append(metric)
    except ValueError as error:
        for metric in registered:
            registry.unregister(metric)
        raise ConfigurationError(
            "registry: it has metrics of b24oauth already; make one PrometheusObserver for a registry and give it to "
            "all clients"
        ) from error
