"""CPU time of one `crm.deal.get` through b24oauth and through bare httpx, in the same run.

Usage: python -m benchmarks.call_cost [--rounds 5] [--calls 400]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

import httpx

from b24oauth import B24OAuth, B24OAuthParams, RateLimitConfig, RestrictionParams
from benchmarks.portal_process import portal_process

IN_FLIGHT = (1, 10, 100)
NO_LIMITS = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=1e9, drain_rate=1e9))

Call = Callable[[], Awaitable[object]]


def bare_call(http: httpx.AsyncClient, params: B24OAuthParams) -> Call:
    """The same request by hand."""
    url = f"{params.client_endpoint}crm.deal.get"

    async def call() -> object:
        answer = await http.post(url, json={"id": 1, "auth": params.access_token})
        return answer.raise_for_status().json()["result"]

    return call


async def cpu_per_call(call: Call, calls: int, in_flight: int) -> float:
    """Milliseconds of CPU that this process spends on a call."""
    numbers = iter(range(calls))

    async def worker() -> None:
        for _ in numbers:
            await call()

    started = time.process_time()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return (time.process_time() - started) / calls * 1000


async def measure(rounds: int, calls: int) -> None:
    """Interleaves the rounds of both, and prints the medians and their ratio."""
    with portal_process() as (params, secret, hosts):
        async with (
            httpx.AsyncClient(timeout=30) as http,
            B24OAuth(params, secret, trusted_oauth_hosts=hosts, restriction_params=NO_LIMITS) as b24,
        ):

            async def ours() -> object:
                return (await b24.actions.v2.call.make("crm.deal.get", {"id": 1})).result

            contestants = {"httpx": bare_call(http, params), "b24oauth": ours}
            print(f"{'in flight':>9} {'httpx, ms':>10} {'b24oauth, ms':>13} {'ratio':>6}")
            for in_flight in IN_FLIGHT:
                costs: dict[str, list[float]] = {name: [] for name in contestants}
                for _ in range(rounds + 1):
                    for name, call in contestants.items():
                        costs[name].append(await cpu_per_call(call, calls, in_flight))
                # The first round warms up connections and caches.
                bare, own = (statistics.median(values[1:]) for values in costs.values())
                print(f"{in_flight:>9} {bare:>10.2f} {own:>13.2f} {own / bare:>6.2f}")


def main() -> None:
    """Reads the command line and runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=400)
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.rounds, arguments.calls))


if __name__ == "__main__":
    main()
