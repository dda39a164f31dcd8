"""The SSL contexts of a process: one for each configuration, loaded in a thread when it is first needed."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import anyio
import certifi

from b24oauth.errors import ConfigurationError

__all__ = ["Certificates", "context_for"]


class Certificates(NamedTuple):
    """Which certificates are trusted.

    Attributes:
        file: Path of a file instead of certifi's; empty for none.
        directory: Path of a directory instead of certifi's file; empty for none.
    """

    file: str = ""
    directory: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Certificates:
        """As `SSL_CERT_FILE` and `SSL_CERT_DIR` say."""
        return cls(environ.get("SSL_CERT_FILE", ""), environ.get("SSL_CERT_DIR", ""))


# The only module-level mutable state of the package: loading certifi's certificates takes 30 ms and 780 KiB for each
# context.
_CONTEXTS: Final[dict[Certificates, ssl.SSLContext]] = {}
_LOCK: Final = threading.Lock()


async def context_for(certificates: Certificates) -> ssl.SSLContext:
    """The process's context for these certificates.

    Args:
        certificates: Which are trusted.

    Raises:
        ConfigurationError: They cannot be read; names the variable.
    """
    known = _CONTEXTS.get(certificates)
    if known is not None:
        return known
    # Cancelling the caller does not stop the thread; it finishes loading the context for the next caller.
    return await anyio.to_thread.run_sync(_load, certificates, abandon_on_cancel=True)


def _load(certificates: Certificates) -> ssl.SSLContext:
    # Concurrent callers block on the lock in their threads; only one loads the context.
    with _LOCK:
        known = _CONTEXTS.get(certificates)
        if known is None:
            known = _CONTEXTS[certificates] = _new_context(certificates)
        return known


def _new_context(certificates: Certificates) -> ssl.SSLContext:
    file, directory = certificates
    if directory and not any(Path(path).is_dir() for path in directory.split(os.pathsep)):
        raise ConfigurationError(
            "SSL_CERT_DIR does not name a directory with certificates: correct it, unset it, or pass ssl_context"
        )
    try:
        return ssl.create_default_context(
            cafile=file or (None if directory else certifi.where()), capath=directory or None
        )
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = "it holds no certificates" if isinstance(error, ssl.SSLError) else error.__class__.__name__
        if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.errno:
            reason = os.strerror(error.errno)
    # Raised outside the except block, so that the original exception with the file path is not chained.
    name = "SSL_CERT_FILE" if file else "certifi"
    raise ConfigurationError(
        f"{name} names a file that cannot be used ({reason}): correct it, unset it, or pass ssl_context"
    )
