"""Writes events to a logger: each as a sentence, with its facts as `extra`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, Protocol

import attrs

from b24oauth.events import CONTENT, Event, Notice

__all__ = ["LoggerLike", "LoggingObserver"]

LOGGER_NAME: Final = "b24oauth"

# Standard for libraries: a NullHandler, so that nothing is printed if logging is not configured.
logging.getLogger(LOGGER_NAME).addHandler(logging.NullHandler())


class LoggerLike(Protocol):
    """What `set_logger` takes: a `logging.Logger`, a logger of structlog, or anything with these four methods.

    A logger with a method `bind`, such as one of structlog, gets the facts of an event by it, not as `extra`.
    """

    def debug(self, msg: str, /, *, extra: dict[str, Any]) -> Any:
        """Records a detail."""

    def info(self, msg: str, /, *, extra: dict[str, Any]) -> Any:
        """Records what happens."""

    def warning(self, msg: str, /, *, extra: dict[str, Any]) -> Any:
        """Records what may need attention."""

    def error(self, msg: str, /, *, extra: dict[str, Any]) -> Any:
        """Records what needs attention."""


class LoggingObserver:
    """Writes events to a logger.

    Args:
        logger: Anything like a `logging.Logger`; None for the one named "b24oauth".

    Attributes:
        logger: As above; may be replaced.
    """

    __slots__ = ("logger",)

    def __init__(self, logger: LoggerLike | None = None) -> None:
        self.logger: LoggerLike = logging.getLogger(LOGGER_NAME) if logger is None else logger

    def is_enabled_for(self, level: int) -> bool:
        """True when the logger writes events of a level now; bodies (`CONTENT`) are logged if DEBUG is enabled.

        Args:
            level: As of `logging`, or `CONTENT`.
        """
        try:
            enabled: Callable[[int], bool] | None = getattr(self.logger, "isEnabledFor", None)
            if enabled is not None:
                return enabled(logging.DEBUG if level == CONTENT else level)
            enabled = getattr(self.logger, "is_enabled_for", None)  # structlog's name of it
            return enabled is None or enabled(logging.DEBUG if level == CONTENT else level)
        except Exception:  # noqa: BLE001 - a logger that fails must not fail the call
            return False

    def __call__(self, event: Event) -> None:
        """Writes an event.

        Args:
            event: What happened.
        """
        facts = _facts(event)
        bind: Callable[..., Any] | None = getattr(self.logger, "bind", None)
        if bind is None:
            getattr(self.logger, _method_for(event.level))(str(event), extra=facts)
        else:
            getattr(bind(**facts), _method_for(event.level))(str(event))


def _method_for(level: int) -> str:
    if level >= logging.ERROR:
        return "error"
    if level >= logging.WARNING:
        return "warning"
    return "info" if level >= logging.INFO else "debug"


def _facts(event: Event) -> dict[str, Any]:
    if isinstance(event, Notice):
        return dict(event.facts)
    return {field.name: getattr(event, field.name) for field in attrs.fields(type(event)) if field.name != "level"}
