"""`b24oauth limits`: what is known of the portal's limits."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from b24oauth.cli.connecting import Access, PortalName
from b24oauth.cli.output import AsJson, print_json, print_table
from b24oauth.client import B24OAuth
from b24oauth.hook import B24Hook
from b24oauth.limits.params import OperatingLimitConfig
from b24oauth.models import ApiVersion

__all__ = ["limits"]


def limits(
    *,
    watch: bool = False,
    interval: Annotated[float, Parameter(validator=Number(gte=0.1))] = 5.0,
    portal: PortalName = "",
    as_json: AsJson = False,
) -> None:
    """Show what is known of the portal's limits.

    The bucket of requests, and the execution time that methods have used within ten minutes. Programs that use the same
    store share the bucket, and the time of a method that has used half of its limit; with a webhook only this command's
    own calls are known. Each look costs one call of server.time.

    Args:
        watch: Look again and again, until Ctrl-C.
        interval: Seconds between two looks.
        portal: member_id or domain of a stored portal; not needed if one is stored.
        as_json: Print JSON for programs; with --watch a line for each look.
    """
    asyncio.run(_limits(Access.from_environment(portal), interval if watch else None, as_json=as_json))


async def _limits(access: Access, interval: float | None, *, as_json: bool) -> None:
    async with access.client() as b24:
        while True:
            found = await _look(b24)
            if as_json:
                print_json(found, compact=True)
            else:
                _show(found)
            if interval is None:
                return
            await asyncio.sleep(interval)


async def _look(b24: B24OAuth | B24Hook) -> dict[str, Any]:
    (await b24.actions.v2.call.make("server.time")).raise_for_error()
    known, budget = b24.get_http_client(ApiVersion.V2).get_stats().limits, OperatingLimitConfig()
    return {
        "burst": known.burst_limit,
        "rate": known.drain_rate,
        "configured_burst": known.original_burst_limit,
        "configured_rate": known.original_drain_rate,
        "operating_limit": budget.limit,
        "operating_window": budget.window,
        "operating": dict(sorted(known.operating_stats.items(), key=lambda item: -item[1])),
    }


def _show(found: dict[str, Any]) -> None:
    lowered = found["burst"] < found["configured_burst"] or found["rate"] < found["configured_rate"]
    print(
        f"Requests: {found['burst']:g} at once, {found['rate']:g} a second"
        + (f" (lowered from {found['configured_burst']:g} and {found['configured_rate']:g})" if lowered else "")
    )
    limit = found["operating_limit"]
    rows = (
        (method, f"{used:.1f}", f"{max(0.0, limit - used):.1f}", f"{used / limit:.0%}")
        for method, used in found["operating"].items()
    )
    print(f"Execution time within {found['operating_window'] / 60:g} minutes:")
    print_table(("method", "used, s", "left, s", "share"), rows)
