"""A network between a client and a server that cuts, delays and half-closes connections."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

import attrs


@attrs.define
class Network:
    """What happens to what is sent, each with a probability for each piece.

    Attributes:
        port: Where clients connect.
        cut: Both directions end at once.
        half_close: The server's direction ends; the client's stays open and is not answered.
        delay: It arrives later, seconds: up to `longest`.
    """

    port: int
    chance: random.Random
    cut: float = 0.0
    half_close: float = 0.0
    delay: float = 0.0
    longest: float = 0.05


@asynccontextmanager
async def network(port: int, seed: str) -> AsyncIterator[Network]:
    """A proxy in front of a server on loopback."""
    state = Network(0, random.Random(seed))
    tasks: set[asyncio.Task[None]] = set()

    writers: set[asyncio.StreamWriter] = set()

    async def carry(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, both: list[asyncio.StreamWriter]
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if state.chance.random() < state.cut:
                    for each in both:
                        each.transport.abort()
                    return
                if state.chance.random() < state.half_close:
                    writer.write_eof()
                    await asyncio.sleep(3600)
                if state.chance.random() < state.delay:
                    await asyncio.sleep(state.chance.uniform(0, state.longest))
                writer.write(data)
                await writer.drain()
        writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        start(connect(reader, writer))

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionError:
            writer.transport.abort()
            return
        writers.add(back)
        start(carry(reader, back, [writer, back]))
        start(carry(there, writer, [writer, back]))

    def start(work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)
