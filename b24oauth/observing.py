"""Dispatches events to a client's observers; an exception in an observer never affects a call."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterable
from typing import Any, Final, Protocol

from b24oauth.events import Event, Notice
from b24oauth.observers import LoggerLike, LoggingObserver

__all__ = ["Log", "LoggerLike", "Observer", "text_for_log", "truncate_for_log"]

_LONGEST: Final = 300
_KEPT: Final = 100
_NONE: Final = frozenset[int]()


class Observer(Protocol):
    """A callable that receives each event synchronously in the task where it occurs; it must not block.

    An optional attribute `level` sets the lowest level of events it receives; the default is DEBUG.
    """

    def __call__(self, event: Event, /) -> object:
        """Observes what happened."""


class Log:
    """The observers of a client: its logger first, then those that were given.

    One object is shared by all parts of a client, so that a logger set later reaches all of them.

    Args:
        logger: Anything like a `logging.Logger`; None for the one named "b24oauth".
        observers: What else is called with each event.

    Attributes:
        is_enabled_for: Returns True if an observer currently wants events of this level (a `logging` level or
            `CONTENT`); other events need not be created.
    """

    __slots__ = ("_failed", "_logging", "_others", "is_enabled_for")

    def __init__(self, logger: LoggerLike | None = None, observers: Iterable[Observer] = ()) -> None:
        self._logging = LoggingObserver(logger)
        self._others = tuple(observers)
        self._failed = _NONE
        self.is_enabled_for = self._any_enabled_for if self._others else self._logging.is_enabled_for

    @property
    def logger(self) -> LoggerLike:
        """The logger in use."""
        return self._logging.logger

    @logger.setter
    def logger(self, logger: LoggerLike) -> None:
        self._logging.logger = logger

    def _any_enabled_for(self, level: int) -> bool:
        return self._logging.is_enabled_for(level) or any(level >= _level_of(observer) for observer in self._others)

    def emit(self, event: Event) -> None:
        """Calls the observers.

        Args:
            event: What happened; it must be free of secrets.
        """
        # Neither a logger nor an observer that fails may fail the call.
        with contextlib.suppress(Exception):
            if self._logging.is_enabled_for(event.level):
                self._logging(event)
        for observer in self._others:
            try:
                if event.level >= _level_of(observer):
                    observer(event)
            except Exception as error:  # noqa: BLE001 - see above
                self._observer_failed(observer, error)

    def _observer_failed(self, observer: Observer, error: Exception) -> None:
        """Logs the failure, once per observer."""
        if id(observer) not in self._failed:
            self._failed |= {id(observer)}
            with contextlib.suppress(Exception):
                what = f"The observer {type(observer).__name__} raised {type(error).__name__}"
                text = f"{what}; further failures of it are not logged"
                self._logging(Notice(level=logging.ERROR, text=text))

    def debug(self, message: str, **facts: Any) -> None:
        """Emits a notice about a detail."""
        self._notice(logging.DEBUG, message, facts)

    def warning(self, message: str, **facts: Any) -> None:
        """Emits a notice about what may need attention."""
        self._notice(logging.WARNING, message, facts)

    def error(self, message: str, **facts: Any) -> None:
        """Emits a notice about what needs attention."""
        self._notice(logging.ERROR, message, facts)

    def _notice(self, level: int, message: str, facts: dict[str, Any]) -> None:
        if self.is_enabled_for(level):
            self.emit(Notice(level=level, text=message, facts=facts))


def _level_of(observer: Observer) -> int:
    level: int = getattr(observer, "level", logging.DEBUG)
    return level


def text_for_log(value: object) -> str:
    """Formats a value as JSON; never raises, values that cannot be serialized are shown approximately."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    except RecursionError:
        return "<too deep>"
    except (TypeError, ValueError):
        return str(value)


def truncate_for_log(value: object) -> str:
    """A value as text of a length that no log suffers from; what is longer is cut to its beginning."""
    text = value if isinstance(value, str) else text_for_log(value)
    return f"{text[:_KEPT]}..." if len(text) > _LONGEST else text
