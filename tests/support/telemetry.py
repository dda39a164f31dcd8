"""What an application exports: spans, metrics and log lines, kept in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from prometheus_client import CollectorRegistry, generate_latest

from b24oauth.observers import OpenTelemetryObserver, PrometheusObserver

Tree = list[tuple[str, "Tree"]]


class Spans(SpanProcessor):
    """Keeps the spans that began, and those that ended."""

    def __init__(self) -> None:
        self.begun: list[Span] = []
        self.ended: list[ReadableSpan] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self.begun.append(span)

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.ended if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    def below(self, parent: ReadableSpan) -> list[ReadableSpan]:
        return [span for span in self.begun if span.parent is not None and span.parent.span_id == id_of(parent)]

    def tree(self) -> Tree:
        """Names of the spans as they lie below each other, in the order in which they began."""
        assert len(self.begun) == len(self.ended), "each span that begins has to end"
        return self._trees(span for span in self.begun if span.parent is None)

    def _trees(self, spans: Iterable[ReadableSpan]) -> Tree:
        return [(span.name, self._trees(self.below(span))) for span in spans]


class Telemetry:
    """Providers of an application, and one observer of each kind.

    Attributes:
        spans: What the tracers made.
        observers: For the clients.
    """

    def __init__(self) -> None:
        self.spans = Spans()
        self.tracers = TracerProvider(sampler=ALWAYS_ON)
        self.tracers.add_span_processor(self.spans)
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader])
        self.registry = CollectorRegistry()
        self.otel = OpenTelemetryObserver(self.tracers, self.meters)
        self.prometheus = PrometheusObserver(self.registry)
        self.tracer = self.tracers.get_tracer("application")

    @property
    def observers(self) -> list[Any]:
        return [self.otel, self.prometheus]

    def metric(self, name: str) -> dict[tuple[Any, ...], float]:
        """The values of an OpenTelemetry metric by the values of its attributes; counts for histograms."""
        return {
            tuple(value for _, value in sorted((point.attributes or {}).items())): getattr(point, "count", None)
            or point.value
            for found, points in self._metrics()
            if found == name
            for point in points
        }

    def attributes(self, name: str) -> set[str]:
        """Names of the attributes of a metric."""
        return {
            key for found, points in self._metrics() if found == name for point in points for key in point.attributes
        }

    def names(self) -> set[str]:
        return {name for name, _ in self._metrics()}

    def _metrics(self) -> Iterator[tuple[str, Any]]:
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    yield metric.name, metric.data.data_points

    def exposed(self) -> str:
        """All that leaves the process."""
        data = self._reader.get_metrics_data()
        spans = [span.to_json() for span in self.spans.ended]
        return "\n".join([*spans, "" if data is None else data.to_json(), generate_latest(self.registry).decode()])

    def assert_nothing_is_open(self) -> None:
        assert [span.name for span in self.spans.begun if span.end_time is None] == []
        assert (self.otel._calls, self.otel._requests, self.otel._refreshes) == ({}, {}, {})


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


def linked(span: ReadableSpan) -> set[int]:
    """Identifiers of the spans that a span links to."""
    return {link.context.span_id for link in span.links}


async def turns(count: int) -> None:
    """Lets the loop run so many times."""
    for _ in range(count):
        await asyncio.sleep(0)
