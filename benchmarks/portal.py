"""The fake portal in a process of its own, on a core of its own, and the way to steer it from the benchmark."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import attrs
import orjson

from b24oauth.testing import FakePortal
from benchmarks.http_server import PortalProtocol, Portals
from benchmarks.machine import allow_many_sockets, pin
from benchmarks.wide_rows import widened

__all__ = ["PortalUse", "ServedPortal", "served_portal"]


@attrs.frozen(kw_only=True)
class PortalUse:
    """What the portal did and spent since it was last asked.

    Attributes:
        requests: Requests answered.
        refused: Requests refused with 503.
        cpu: CPU time of the process, user and system, seconds.
    """

    requests: int
    refused: int
    cpu: float


class _Steered:
    """The portal's side of the pipe."""

    def __init__(self, pipe: Connection, portals: Portals, origin: str, stop: asyncio.Event) -> None:
        self._pipe = pipe
        self._portals = portals
        self._origin = origin
        self._stop = stop
        self._mark: tuple[int, int, float] = (0, 0, 0.0)

    def told(self) -> None:
        """Obeys one order and answers it."""
        order, options = self._pipe.recv()
        try:
            self._pipe.send((getattr(self, f"_{order}")(**options), None))
        except Exception as error:  # noqa: BLE001 - raised where the order came from, which would wait for ever
            self._pipe.send((None, error))

    def _open(self, **options: Any) -> dict[str, Any]:
        portal = make_portal(self._origin, **options)
        self._portals.use(portal)
        gc.collect()
        # What came before is not this portal's.
        self._use()
        return {
            "params": portal.issue().to_dict(),
            "secret": portal.secret.to_dict(),
            "hosts": sorted(portal.trusted_oauth_hosts),
        }

    def _use(self) -> dict[str, Any]:
        before, self._mark = self._mark, (self._portals.served, self._portals.portal.refused, time.process_time())
        requests, refused, cpu = (now - then for now, then in zip(self._mark, before, strict=True))
        return {"requests": requests, "refused": refused, "cpu": cpu}

    def _end(self) -> None:
        self._stop.set()


def make_portal(
    origin: str, *, ids: range | list[int] | None = None, row_bytes: int | None = None, **options: Any
) -> FakePortal:
    """A portal on the real clock that keeps no records and writes its answers fast.

    Args:
        origin: Where it is reached.
        ids: The deals that it has.
        row_bytes: Size of a deal, bytes of JSON text; None for deals without user fields.
        options: Of `FakePortal`.
    """
    portal = FakePortal(
        clock=time.time, origin=origin, oauth_origin=origin, record=False, dumps=orjson.dumps, **options
    )
    if ids is not None:
        portal.rows("crm.deal", ids=ids)
    if row_bytes is not None:
        deals = portal.rows("crm.deal")
        deals.make = widened(deals.make, row_bytes)
    return portal


async def _serve(pipe: Connection, addresses: Sequence[str]) -> None:
    loop = asyncio.get_running_loop()
    portals = Portals(FakePortal(record=False))
    server = await loop.create_server(lambda: PortalProtocol(portals), "127.0.0.1", 0, backlog=2048)
    port = server.sockets[0].getsockname()[1]
    also = [
        await loop.create_server(lambda: PortalProtocol(portals), address, port, backlog=16) for address in addresses
    ]
    stop = asyncio.Event()
    origin = f"http://127.0.0.1:{port}"
    steered = _Steered(pipe, portals, origin, stop)
    loop.add_reader(pipe.fileno(), steered.told)
    pipe.send(origin)
    await stop.wait()
    loop.remove_reader(pipe.fileno())
    for one in (server, *also):
        one.close()


def _main(pipe: Connection, addresses: Sequence[str]) -> None:
    pin("portal")
    allow_many_sockets()
    # Rows are made and dropped by the thousand: looking for cycles among them would cost a third of the time.
    gc.disable()
    asyncio.run(_serve(pipe, addresses))


@attrs.frozen
class ServedPortal:
    """The portal's process, as the benchmark sees it.

    Attributes:
        origin: Where it is reached.
        pid: Its process.
    """

    origin: str
    pid: int
    _pipe: Connection

    def open(self, **options: Any) -> dict[str, Any]:
        """Puts a new portal in place of the present one.

        Args:
            options: Of `make_portal`.

        Returns:
            A token pair, the application's secret and the hosts to trust, ready for JSON.
        """
        facts: dict[str, Any] = self._told("open", options)
        return facts

    def use(self) -> PortalUse:
        """What it did since it was opened, or since this was last asked."""
        return PortalUse(**self._told("use", {}))

    def _told(self, order: str, options: dict[str, Any]) -> Any:
        self._pipe.send((order, options))
        answer, error = self._pipe.recv()
        if error is not None:
            raise error
        return answer


@contextmanager
def served_portal(addresses: Sequence[str] = ()) -> Iterator[ServedPortal]:
    """Serves portals on loopback, on the last core of the machine.

    Args:
        addresses: Further loopback addresses where the same portal answers, at the same port.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_main, args=(theirs, tuple(addresses)), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ServedPortal(ours.recv(), process.pid or 0, ours)
    finally:
        if process.is_alive():
            ours.send(("end", {}))
            ours.recv()
        process.join()
