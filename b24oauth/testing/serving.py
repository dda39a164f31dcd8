"""The fake portal on loopback: uvicorn, started and stopped inside the running loop. The only import of uvicorn."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from b24oauth.testing.asgi import ABORT

try:
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        'FakePortal.serve() needs uvicorn: pip install "b24oauth[testing]"', name=missing.name
    ) from missing

if TYPE_CHECKING:
    from b24oauth.testing.cloud import FakeCloud
    from b24oauth.testing.portal import FakePortal

__all__ = ["serving"]

_HIGHEST_PORT = 65_535


class _CuttableProtocol(H11Protocol):
    """Lets the application cut the connection: what uvicorn hands it as state includes the way to."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self.app_state = {**self.app_state, ABORT: partial(_reset, transport)}


def _reset(transport: asyncio.Transport) -> None:
    # Without lingering the peer gets a reset, as from a broken network, and not an orderly end.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class _GuestServer(uvicorn.Server):
    """A server that is a guest in somebody's loop: the signals are not its own."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def serving(portal: FakePortal | FakeCloud, host: str, port: int) -> AsyncGenerator[str]:
    """Serves the portal while the context is open.

    Args:
        portal: The application.
        host: Address to listen at.
        port: Port to listen at; 0 for a free one.

    Yields:
        The origin at which it is reached.

    Raises:
        OSError: It cannot be listened there.
    """
    # Bound here: uvicorn would end the process when the port is taken.
    listening = _bound(host, port)
    server = _GuestServer(_config(portal))
    task = asyncio.create_task(server.serve(sockets=[listening]), name="fake portal")
    try:
        await _started(server, task)
        yield f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        # uvicorn cancels requests that are still unanswered, but does not see them end.
        await asyncio.gather(*server.server_state.tasks, return_exceptions=True)
        listening.close()


def _bound(host: object, port: object) -> socket.socket:
    if not isinstance(host, str):
        raise TypeError(f"FakePortal.serve(): host must be an address, such as 127.0.0.1, not {host!r}")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= _HIGHEST_PORT:
        raise ValueError(f"FakePortal.serve(): port must be a whole number from 0 to {_HIGHEST_PORT}, not {port!r}")
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        reason = error.strerror or str(error)
        raise OSError(
            error.errno, f"FakePortal.serve(): cannot listen at {host}, port {port} ({reason}); port=0 takes a free one"
        ) from None
    return listening


async def _started(server: uvicorn.Server, task: asyncio.Task[None]) -> None:
    while not server.started:
        await asyncio.sleep(0)
        if task.done():
            await task
            raise RuntimeError("FakePortal.serve(): uvicorn stopped before it listened; is loopback available?")


def _config(portal: FakePortal | FakeCloud) -> uvicorn.Config:
    return uvicorn.Config(
        portal,
        interface="asgi3",
        lifespan="off",
        http=_CuttableProtocol,
        ws="none",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=0,
    )
