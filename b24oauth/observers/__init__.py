"""Ready-made observers; the logging observer is the default."""

from b24oauth.observers.logging import LoggerLike, LoggingObserver

__all__ = ["LoggerLike", "LoggingObserver"]
