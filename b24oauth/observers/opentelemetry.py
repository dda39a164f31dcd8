"""Traces and metrics by OpenTelemetry. Needs the extra `otel`; the SDK and its exporters belong to the application."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Token
from typing import Final
from urllib.parse import urlsplit

import attrs
from opentelemetry import context, metrics, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, SpanKind, StatusCode, Tracer

from b24oauth._version import __version__
from b24oauth.events import (
    TRACE,
    CallFinished,
    CallStarted,
    Event,
    RefreshAwaited,
    RefreshFinished,
    RefreshStarted,
    RequestFinished,
    RequestStarted,
    Retrying,
    Throttled,
)
from b24oauth.observers.boundaries import LEVELS, SECONDS

__all__ = ["OpenTelemetryObserver"]

_NAME: Final = "b24oauth"
_METHOD: Final = "bitrix24.method"
_API: Final = "bitrix24.api_version"
_ERROR_CODE: Final = "bitrix24.error_code"
_SECONDS: Final = "bitrix24.wait.duration"
_ERROR_TYPE: Final = "error.type"
_PORTS: Final = {"https": 443, "http": 80}

Attributes = dict[str, str | int | float | bool]


class OpenTelemetryObserver:
    """Makes spans and metrics of the events of any number of clients.

    Each call is a span below the span that is current where the call is made; each of its HTTP requests is a span below
    it. A refresh is shared by all calls that need it: it is a trace of its own, and these calls and the refresh link to
    each other. Waits for the limits and retries are events of the call's span.

    Args:
        tracer_provider: Makes the spans; None for the global one.
        meter_provider: Makes the metrics; None for the global one.

    Attributes:
        level: Of the events that it needs.

    Source: https://opentelemetry.io/docs/specs/semconv/http/http-spans/
    """

    level: Final = TRACE

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer(_NAME, __version__, tracer_provider)
        self._metrics = _Metrics(metrics.get_meter(_NAME, __version__, meter_provider))
        # What has begun and not ended yet; the library ends all of it, also when a call is cancelled.
        self._calls: dict[int, _Current] = {}
        self._requests: dict[int, _Current] = {}
        self._refreshes: dict[int, Span] = {}

    def __call__(self, event: Event) -> None:
        """Begins or ends a span, or adds to one; adds to the metrics.

        Args:
            event: What happened.
        """
        match event:
            case CallStarted():
                self._calls[event.call_id] = _Current.begun(self._tracer, event.method, _of_call(event))
            case RequestStarted():
                self._request_started(event)
            case RequestFinished():
                self._request_finished(event)
            case Throttled():
                self._metrics.waits.record(event.seconds, {"bitrix24.wait.reason": event.reason})
                self._add_event(
                    event.call_id, "throttled", {"bitrix24.wait.reason": event.reason, _SECONDS: event.seconds}
                )
            case Retrying():
                self._retrying(event)
            case CallFinished():
                self._call_finished(event)
            case RefreshStarted():
                self._refresh_started(event)
            case RefreshAwaited():
                self._refresh_awaited(event)
            case RefreshFinished():
                self._refresh_finished(event)
            case _:
                pass

    # --- calls and their requests ------------------------------------------------------------------------------------

    def _request_started(self, event: RequestStarted) -> None:
        self._metrics.bucket_level.record(event.bucket_level)
        if event.waited is not None:
            self._metrics.queued.record(event.waited)
        attributes = _of_request(event)
        self._requests[event.call_id] = _Current.begun(self._tracer, event.http_method, attributes, SpanKind.CLIENT)

    def _request_finished(self, event: RequestFinished) -> None:
        request = self._requests.pop(event.call_id, None)
        if request is None:
            return
        error = event.error_type
        if event.status:
            request.span.set_attribute("http.response.status_code", event.status)
            error = str(event.status) if event.status >= 400 else None
        if error is not None:
            request.span.set_attribute(_ERROR_TYPE, error)
            request.span.set_status(StatusCode.ERROR)
        request.end()

    def _retrying(self, event: Retrying) -> None:
        self._metrics.retries.add(1, _of_metric(event) | {_ERROR_TYPE: event.error_type})
        facts: Attributes = {
            "bitrix24.attempt": event.attempt,
            _SECONDS: event.seconds,
            _ERROR_CODE: event.error_code,
            _ERROR_TYPE: event.error_type,
        }
        self._add_event(event.call_id, "retry", facts)

    def _call_finished(self, event: CallFinished) -> None:
        call = self._calls.pop(event.call_id, None)
        try:
            # While the span is the current one, so that exemplars name it.
            facts = _of_metric(event) | _of_outcome(event)
            self._metrics.calls.add(1, facts)
            self._metrics.durations.record(event.duration, facts)
        finally:
            if call is not None:
                call.span.set_attribute("bitrix24.attempts", event.attempts)
                _set_outcome(call.span, event)
                call.end()

    def _add_event(self, call_id: int, name: str, attributes: Mapping[str, str | int | float | bool]) -> None:
        call = self._calls.get(call_id)
        if call is not None:
            call.span.add_event(f"b24oauth.{name}", attributes)

    # --- refreshes ---------------------------------------------------------------------------------------------------

    def _refresh_started(self, event: RefreshStarted) -> None:
        attributes = {"bitrix24.member_id": event.member_id, "bitrix24.portal": event.portal}
        # An empty context: the refresh does not belong to the call that happens to be the first to need it.
        span = self._tracer.start_span("b24oauth.refresh", Context(), attributes=attributes)
        self._refreshes[event.refresh_id] = span

    def _refresh_awaited(self, event: RefreshAwaited) -> None:
        refresh, waiting = self._refreshes.get(event.refresh_id), trace.get_current_span()
        if refresh is None:
            return
        waiting.add_event("b24oauth.refresh.awaited")
        _link(refresh, waiting.get_span_context())
        _link(waiting, refresh.get_span_context())

    def _refresh_finished(self, event: RefreshFinished) -> None:
        span = self._refreshes.pop(event.refresh_id, None)
        if span is not None:
            _set_outcome(span, event)
            span.end()
        facts = _of_outcome(event)
        self._metrics.refreshes.add(1, facts)
        self._metrics.refresh_durations.record(event.duration, facts)


@attrs.frozen(eq=False)
class _Current:
    """A span that is the current one until it ends.

    Attributes:
        span: The span.
        token: Restores the context before it.
    """

    span: Span
    token: Token[Context]

    @classmethod
    def begun(cls, tracer: Tracer, name: str, attributes: Attributes, kind: SpanKind = SpanKind.INTERNAL) -> _Current:
        span = tracer.start_span(name, kind=kind, attributes=attributes)
        return cls(span, context.attach(trace.set_span_in_context(span)))

    def end(self) -> None:
        # A call that is garbage-collected ends in the context of somebody else, which must stay as it is.
        if trace.get_current_span() is self.span:
            context.detach(self.token)
        self.span.end()


class _Metrics:
    """The instruments.

    Args:
        meter: Makes them.
    """

    def __init__(self, meter: metrics.Meter) -> None:
        self.calls = meter.create_counter("b24oauth.calls", "{call}", "Calls that have ended")
        self.durations = meter.create_histogram(
            "b24oauth.call.duration",
            "s",
            "Duration of calls, with waits and retries",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self.retries = meter.create_counter("b24oauth.retries", "{retry}", "Attempts after the first one")
        self.waits = meter.create_histogram(
            "b24oauth.wait.duration",
            "s",
            "Waits of calls for the limits of the portal",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self.queued = meter.create_histogram(
            "b24oauth.queue.duration",
            "s",
            "Time from the beginning of an attempt until its request is sent",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self.refreshes = meter.create_counter("b24oauth.refreshes", "{refresh}", "Refreshes of token pairs")
        self.refresh_durations = meter.create_histogram(
            "b24oauth.refresh.duration",
            "s",
            "Duration of refreshes, with saving",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self.bucket_level = meter.create_histogram(
            "b24oauth.bucket.level",
            "1",
            "Used part of the rate limit's burst, when a request is sent",
            explicit_bucket_boundaries_advisory=LEVELS,
        )


def _link(span: Span, other: SpanContext) -> None:
    if other.is_valid:
        span.add_link(other)


def _set_outcome(span: Span, event: CallFinished | RefreshFinished) -> None:
    span.set_attributes(_of_outcome(event))
    if event.error_type is not None:
        span.set_attribute(_ERROR_CODE, event.error_code or "")
        span.set_status(StatusCode.ERROR, event.error_text)


def _of_outcome(event: CallFinished | RefreshFinished) -> Attributes:
    outcome: Attributes = {"bitrix24.outcome": event.outcome}
    return outcome if event.error_type is None else outcome | {_ERROR_TYPE: event.error_type}


def _of_call(event: CallStarted) -> Attributes:
    return {
        _METHOD: event.method,
        _API: event.api,
        "bitrix24.portal": event.portal,
        "bitrix24.request_id": event.request_id,
    }


def _of_request(event: RequestStarted) -> Attributes:
    address = urlsplit(event.url)
    attributes: Attributes = {
        "http.request.method": event.http_method,
        "server.address": address.hostname or "",
        "server.port": address.port or _PORTS.get(address.scheme, 0),
        "url.full": event.url,
        _METHOD: event.method,
        "bitrix24.attempt": event.attempt,
    }
    if event.waited is not None:
        attributes[_SECONDS] = event.waited
    if event.number > 1:
        attributes["http.request.resend_count"] = event.number - 1
    return attributes


def _of_metric(event: CallFinished | Retrying) -> Attributes:
    # Neither portal nor request: each value would be a series of its own.
    return {_METHOD: event.method, _API: event.api}
