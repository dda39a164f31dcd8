"""The logger of a client: the standard one by default, never in the way of a call."""

from __future__ import annotations

import contextlib
import json
import logging
from typing import Any, Final, Protocol

__all__ = ["Log", "LoggerLike", "text_for_log", "truncate_for_log"]

LOGGER_NAME: Final = "b24oauth"
_LONGEST: Final = 300
_KEPT: Final = 100


# What a library owes to applications that configure no logging: silence.
logging.getLogger(LOGGER_NAME).addHandler(logging.NullHandler())


class LoggerLike(Protocol):
    """What `set_logger` takes: a `logging.Logger`, or anything with its four methods."""

    def debug(self, msg: str, /, *, extra: dict[str, Any]) -> Any:
        """Records what happens in detail."""

    def info(self, msg: str, /, *, extra: dict[str, Any]) -> Any:
        """Records what happens."""

    def warning(self, msg: str, /, *, extra: dict[str, Any]) -> Any:
        """Records what may need attention."""

    def error(self, msg: str, /, *, extra: dict[str, Any]) -> Any:
        """Records what went wrong."""


class Log:
    """Writes records with structured `extra`; the facts must be free of secrets already.

    One object is shared by all parts of a client, so that a logger set later reaches all of them.
    """

    __slots__ = ("logger",)

    def __init__(self, logger: LoggerLike | None = None) -> None:
        self.logger: LoggerLike = logging.getLogger(LOGGER_NAME) if logger is None else logger

    def hears(self, level: int) -> bool:
        """False when nobody listens at this level, so that the facts need not be collected."""
        asked = getattr(self.logger, "isEnabledFor", None)
        if asked is None:
            return True
        try:
            return bool(asked(level))
        except Exception:  # noqa: BLE001 - a logger that fails must not fail the call that it was told about
            return False

    def debug(self, message: str, **facts: Any) -> None:
        """Records what happens in detail."""
        self._write(logging.DEBUG, message, facts)

    def info(self, message: str, **facts: Any) -> None:
        """Records what happens."""
        self._write(logging.INFO, message, facts)

    def warning(self, message: str, **facts: Any) -> None:
        """Records what may need attention."""
        self._write(logging.WARNING, message, facts)

    def error(self, message: str, **facts: Any) -> None:
        """Records what went wrong."""
        self._write(logging.ERROR, message, facts)

    def _write(self, level: int, message: str, facts: dict[str, Any]) -> None:
        if not self.hears(level):
            return
        # A logger that fails must not fail the call that it was told about.
        with contextlib.suppress(Exception):
            getattr(self.logger, logging.getLevelName(level).lower())(message, extra=facts)


def text_for_log(value: object) -> str:
    """A value as JSON, or the nearest to it: what cannot be written must not fail the call that is told about."""
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
