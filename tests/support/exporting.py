"""A process that exports; tests kill it. The settings are a line of JSON at its standard input."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from b24oauth import B24Hook, RateLimitConfig, RestrictionParams
from b24oauth.exporting import ExportProgress, ExportRequest, export

__all__: list[str] = []


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def main(settings: dict[str, Any]) -> None:
    limits = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=1, drain_rate=settings["rate"]))

    def show(progress: ExportProgress) -> None:
        say(progress.phase, progress.rows, progress.resumed)

    async with B24Hook(settings["url"], trusted_hosts=[settings["host"]], restriction_params=limits) as b24:
        say("begun")
        report = await export(b24, ExportRequest(**settings["request"]), on_progress=show)
    say("done", report.rows, report.resumed)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.stdin.readline())))
