"""Replays what the reference was recorded doing; what it does wrong, `test_quirks.py` answers."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.conformance import adapter
from tests.conformance.comparing import Comparison
from tests.conformance.server import each_text, scripted

VECTORS = Path(__file__).parent / "vectors"
START_MS = 1_700_000_000_000

# Recordings that contradict an invariant of ours; answered in `test_quirks.py` like quirks.
ANSWERED = {
    "limit-batch-stats-are-not-shared-with-calls": "L4: a method has one budget, whether called plainly or in a batch",
    "refresh-ignores-domain-and-member": "T13: a pair of another portal is never adopted",
}


def recordings() -> list[dict[str, Any]]:
    return [vector for path in sorted(VECTORS.glob("*.json")) for vector in adapter.load(path)]


async def replayed(vector: dict[str, Any]) -> list[str]:
    """The differences between a recording and what we do."""
    played = await play(vector)
    comparison = Comparison()
    comparison.requests(vector["requests"], played.requests, unordered=vector.get("unordered", False))
    for position, (expected, actual) in enumerate(zip(vector["outcome"], played.outcome, strict=True)):
        if position not in vector.get("quirkSteps", ()):
            comparison.outcome(expected, actual, f"outcome[{position}]")
    comparison.after(vector["after"], played.after)
    return comparison.differences


@attrs.frozen
class Played:
    """What we did, in the recording's words."""

    requests: list[dict[str, Any]]
    outcome: list[dict[str, Any]]
    after: dict[str, Any]


async def play(vector: dict[str, Any]) -> Played:
    async with scripted(vector["responses"]) as server:
        given = {
            name: copy.deepcopy(vector.get(name)) for name in ("id", "params", "secret", "restriction", "timeoutMs")
        }
        given |= {"steps": copy.deepcopy(vector["steps"]), "needs": vector.get("needs")}
        given = each_text(given, lambda text: text.replace("{ORIGIN}", server.origin))
        given |= {"nowMs": START_MS, "mark": server.events.append}
        got = await adapter.run(given, server.origin)

        def recorded(text: str) -> str:
            return text.replace(server.origin, "{ORIGIN}").replace(server.origin.removeprefix("http://"), "{HOST}")

        after = {**got["after"], "events": server.events}
        return Played(*(each_text(part, recorded) for part in (server.requests, got["outcome"], after)))


PLAIN = [vector for vector in recordings() if "quirk" not in vector and vector["id"] not in ANSWERED]


@pytest.mark.parametrize("vector", PLAIN, ids=[vector["id"] for vector in PLAIN])
def test_does_what_was_recorded(vector: dict[str, Any]) -> None:
    assert asyncio.run(replayed(vector)) == []


def test_a_difference_is_found() -> None:
    vector = copy.deepcopy(next(vector for vector in PLAIN if vector["id"] == "v2-call-success"))
    vector["requests"][0]["body"]["id"] = 8
    vector["outcome"][0]["status"] = 201
    assert len(asyncio.run(replayed(vector))) == 2
