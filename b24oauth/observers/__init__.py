"""Ready-made observers: what the option `observers` takes. The logging observer is always there.

| observer | for | extra |
|---|---|---|
| `LoggingObserver` | a logger: `logging`, structlog and others | |
| `OpenTelemetryObserver` | traces and metrics | `otel` |
| `PrometheusObserver` | metrics | `prometheus` |
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from b24oauth.observers.logging import LoggerLike, LoggingObserver

if TYPE_CHECKING:
    from b24oauth.observers.opentelemetry import OpenTelemetryObserver
    from b24oauth.observers.prometheus import PrometheusObserver

__all__ = ["LoggerLike", "LoggingObserver", "OpenTelemetryObserver", "PrometheusObserver"]

# Observers that are loaded when they are first used: the module, what it imports, and the extra that installs it.
_LOADED_LATER: Final = {
    "OpenTelemetryObserver": ("opentelemetry", "opentelemetry", "otel"),
    "PrometheusObserver": ("prometheus", "prometheus_client", "prometheus"),
}


def __getattr__(name: str) -> Any:
    if name not in _LOADED_LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, needed, extra = _LOADED_LATER[name]
    try:
        return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != needed:
            raise
    raise ModuleNotFoundError(f'{name} needs {needed}: pip install "b24oauth[{extra}]"', name=needed)


def __dir__() -> list[str]:
    return __all__
