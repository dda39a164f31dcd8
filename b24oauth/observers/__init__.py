"""Who is called with a client's events; writing them to a logger is the default."""

from b24oauth.observers.logging import LoggerLike, LoggingObserver

__all__ = ["LoggerLike", "LoggingObserver"]
