"""Clients that share one `RestrictionManager`, over a real socket: refusals, and how much of the rate is used.

A process beside them watches for stalls of the machine above 100 ms. A run with a stall says nothing of the clients: it
is repeated, and counted. Run it with `python -m benchmarks.shared_limits [--runs 10] [--clients 1 2 3 4 5 6]`.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import time
from contextlib import AsyncExitStack
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Any, Final, NamedTuple

from b24oauth import B24OAuth, B24OAuthParams, B24OAuthSecret, RateLimitConfig, RestrictionManager, RestrictionParams
from b24oauth.testing import FakePortal
from benchmarks.http_server import PortalProtocol, Portals

BURST: Final = 50
DRAIN: Final = 20
CALLS: Final = 200
STALL: Final = 0.1
SECRET: Final = B24OAuthSecret(client_id="local.shared", client_secret="made-up")
LIMITS: Final = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=BURST, drain_rate=DRAIN))


class Run(NamedTuple):
    """What one run showed.

    Attributes:
        refused: Requests that the portal refused.
        succeeded: Calls that succeeded.
        rate: Share of the allowed rate that was used.
        stalled: The machine stood still meanwhile.
    """

    refused: int
    succeeded: int
    rate: float
    stalled: bool


def watch(stop: Event, pipe: Connection) -> None:
    """Sends the longest delay with which it woke, seconds."""
    longest = 0.0
    while not stop.is_set():
        before = time.monotonic()
        time.sleep(0.005)
        longest = max(longest, time.monotonic() - before - 0.005)
    pipe.send(longest)


def serve(stop: Event, pipe: Connection) -> None:
    """A portal in a process of its own; sends its address and a token pair, and at the end what it refused."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        portals = Portals(FakePortal())
        server = await loop.create_server(lambda: PortalProtocol(portals), "127.0.0.1", 0)
        origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        portal = FakePortal(
            burst=BURST, drain=DRAIN, clock=time.time, origin=origin, oauth_origin=origin, secret=SECRET, record=False
        )
        portals.use(portal)
        pipe.send((origin, portal.issue().to_dict()))
        async with server:
            await asyncio.to_thread(stop.wait)
        pipe.send(portal.refused)

    asyncio.run(main())


async def talk(clients: int, origin: str, pair: dict[str, Any]) -> tuple[int, float]:
    """Makes the calls.

    Returns:
        How many succeeded, and how long they took, seconds.
    """
    manager = RestrictionManager(LIMITS)
    params, host = B24OAuthParams.from_dict(pair), origin.removeprefix("http://")
    async with AsyncExitStack() as stack:
        made = [
            await stack.enter_async_context(
                B24OAuth(params, SECRET, restriction_manager=manager, trusted_oauth_hosts=[host])
            )
            for _ in range(clients)
        ]
        started = time.monotonic()
        calls = [made[number % clients].call("profile") for number in range(CALLS)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        return sum(not isinstance(outcome, BaseException) for outcome in outcomes), time.monotonic() - started


def one_run(clients: int) -> Run:
    """One portal and its clients, watched."""
    stop = multiprocessing.Event()
    (ours, theirs), (watched, watching) = multiprocessing.Pipe(), multiprocessing.Pipe()
    beside = [
        multiprocessing.Process(target=watch, args=(stop, watching), daemon=True),
        multiprocessing.Process(target=serve, args=(stop, theirs), daemon=True),
    ]
    for process in beside:
        process.start()
    try:
        succeeded, seconds = asyncio.run(talk(clients, *ours.recv()))
    finally:
        stop.set()
    refused, longest = ours.recv(), watched.recv()
    for process in beside:
        process.join()
    best = (CALLS - BURST) / DRAIN
    return Run(refused=refused, succeeded=succeeded, rate=best / seconds, stalled=longest > STALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 3, 4, 5, 6])
    options = parser.parse_args()
    print(f"bucket {BURST}, {DRAIN} a second, {CALLS} calls, {options.runs} runs each")
    print("clients  refused in all runs  failed  least rate  repeated for stalls")
    for clients in options.clients:
        runs: list[Run] = []
        repeated = 0
        while len(runs) < options.runs:
            run = one_run(clients)
            if run.stalled and repeated < 5 * options.runs:
                repeated += 1
            else:
                runs.append(run)
        refused = sum(run.refused for run in runs)
        failed = sum(CALLS - run.succeeded for run in runs)
        print(f"{clients:7}  {refused:19}  {failed:6}  {min(run.rate for run in runs):9.1%}  {repeated:19}")


if __name__ == "__main__":
    main()
