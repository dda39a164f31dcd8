"""Draws the pictures of the guides from runs against the fake portal in virtual time: ``python docs/pictures/draw.py``.

The runs are the same every time, so the files change only if the library behaves differently.
"""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from urllib.parse import unquote

import attrs
import httpx

from b24oauth import B24OAuth, RateLimitConfig, RestrictionManager, RestrictionParams
from b24oauth.stores import MemoryStore, TokenKey
from b24oauth.testing import FakePortal, VirtualClock, run_virtual

HERE = Path(__file__).parent
# Narrow, so that a phone shows the text large enough.
WIDTH, LEFT, RIGHT = 520, 104, 20
STYLE = """
  .card{fill:#ffffff;stroke:#d0d7de}.text{fill:#1f2328}.soft{fill:#59636e}.line{stroke:#d0d7de}
  .wait{fill:#c4ccd4}.call{fill:#2f6fdb}.refresh{fill:#d9730d}.save{fill:#2a8c55}.level{stroke:#2f6fdb;fill:none}
  .limit{stroke:#d9730d}
  text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}.title{font-weight:600;font-size:15px}
  @media (prefers-color-scheme:dark){.card{fill:#1b1f24;stroke:#3d444d}.text{fill:#f0f3f6}.soft{fill:#aab4be}
  .line{stroke:#3d444d}.wait{fill:#5b6570}.call{fill:#6ea8fe}.refresh{fill:#f2994a}.save{fill:#4cc38a}
  .level{stroke:#6ea8fe}.limit{stroke:#f2994a}}
"""


class Picture:
    """An SVG on a card of its own, so that it is legible on any page.

    Args:
        title: Its first line, and what screen readers say.
        end: The greatest value of the horizontal axis.
        name: What the axis counts.
        step: Distance of the marks of the axis.
    """

    def __init__(self, title: str, *, end: float, name: str, step: float) -> None:
        self.title, self.end, self.name, self.step = title, end, name, step
        self.parts: list[str] = []

    def x(self, value: float) -> float:
        """Where a value of the horizontal axis is."""
        return LEFT + (WIDTH - LEFT - RIGHT) * value / self.end

    def bar(self, kind: str, start: float, end: float, *, y: float, height: float) -> None:
        """A bar from one value of the axis to another."""
        width = max(self.x(end) - self.x(start), 1.0)
        radius = min(3.0, height / 3)
        self.parts.append(
            f'<rect class="{kind}" x="{self.x(start):.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'rx="{radius:.1f}"/>'
        )

    def text(self, text: str, *, x: float, y: float, kind: str = "text", anchor: str = "start") -> None:
        """A line of text."""
        self.parts.append(f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>')

    def label(self, text: str, *, y: float) -> None:
        """The name of a row, left of the axis."""
        self.text(text, x=LEFT - 12, y=y, anchor="end")

    def key(self, entries: Sequence[tuple[str, str]], *, y: float) -> None:
        """What the colours mean, a line each."""
        for number, (kind, text) in enumerate(entries):
            below = y + number * 20
            self.parts.append(f'<rect class="{kind}" x="{LEFT}" y="{below - 10:.1f}" width="12" height="12" rx="3"/>')
            self.text(text, x=LEFT + 18, y=below, kind="soft")

    def save(self, name: str, *, bottom: float, key: Sequence[tuple[str, str]] = ()) -> None:
        """Adds the axis and the key below everything and writes the file."""
        marks: list[str] = []
        for number in range(int(self.end / self.step + 1e-9) + 1):
            value = number * self.step
            marks.append(
                f'<line class="line" x1="{self.x(value):.1f}" x2="{self.x(value):.1f}" y1="44" y2="{bottom}"/>'
            )
            is_last = WIDTH - self.x(value) < 2 * RIGHT
            x = WIDTH - 8 if is_last else self.x(value)
            self.text(f"{value:,g}", x=x, y=bottom + 18, kind="soft", anchor="end" if is_last else "middle")
        self.text(self.name, x=LEFT - 12, y=bottom + 18, kind="soft", anchor="end")
        self.key(key, y=bottom + 48)
        height = bottom + 34 + 20 * len(key) + 8 * bool(key)
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img">'
            f"<title>{self.title}</title><style>{STYLE}</style>"
            f'<rect class="card" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1:.0f}" rx="8"/>'
            f'<text class="text title" x="24" y="28">{self.title}</text>{"".join(marks)}{"".join(self.parts)}</svg>\n'
        )
        (HERE / name).write_text(svg, encoding="utf-8")


@attrs.frozen
class Timeline:
    """When one call began, reached the portal and ended, in seconds from the start of the run."""

    began: float
    sent: float
    ended: float


async def timed(b24: B24OAuth, portal: FakePortal, number: int, start: float) -> Timeline:
    """Makes a call and returns its times."""
    began = portal.clock.now() - start
    await b24.call("crm.deal.get", {"id": number})
    ended = portal.clock.now() - start
    reached = max(moment for moment in since(portal, start, "crm.deal.get", number) if moment < ended)
    return Timeline(began, reached, ended)


async def measured(portal: FakePortal, numbers: range, limits: RateLimitConfig) -> list[Timeline]:
    """Makes calls at once with an expired pair, and returns their times."""
    start = portal.clock.now()
    async with (
        httpx.AsyncClient(transport=portal.transport()) as http,
        B24OAuth(
            portal.issue(expired=True), portal.secret, http_client=http, clock=portal.clock.now,
            restriction_params=RestrictionParams(rate_limit=limits),
        ) as b24,
    ):  # fmt: skip
        return await asyncio.gather(*[timed(b24, portal, number, start) for number in numbers])


def since(portal: FakePortal, start: float, method: str, number: int | None = None) -> list[float]:
    """When the portal got requests of a method, for one record if a number is given, in seconds from the start."""
    records = [record for record in portal.requests if record.method == method]
    return [record.time - start for record in records if number is None or int(record.params["id"]) == number]


async def one_refresh() -> None:
    """200 calls find the token expired."""
    portal = FakePortal(clock=VirtualClock(), rows={"crm.deal": 200}, latency=0.1, refresh_latency=0.5, burst=1000)
    start = portal.clock.now()
    calls = await measured(portal, range(1, 201), RateLimitConfig(burst_limit=1000, drain_rate=100))
    (asked,) = since(portal, start, "oauth/token")
    end = max(call.ended for call in calls)
    picture = Picture("200 calls, one refresh", end=end, name="seconds", step=0.5)
    picture.label("refresh", y=66)
    picture.bar("refresh", asked, min(call.sent for call in calls), y=54, height=16)
    picture.label("200 calls", y=92)
    for number, call in enumerate(sorted(calls, key=lambda call: (call.sent, call.ended))):
        y = 82 + number * 0.8
        picture.bar("wait", call.began, call.sent, y=y, height=0.8)
        picture.bar("call", call.sent, call.ended, y=y, height=0.8)
    key = [("refresh", "one token request"), ("wait", "a call waits"), ("call", "a call is sent, with the new token")]
    picture.save("one-refresh.svg", bottom=90 + len(calls) * 0.8, key=key)


async def bucket() -> None:
    """110 calls at once against a bucket of 50 and 2 a second."""
    size, rate = 50.0, 2.0
    portal = FakePortal(clock=VirtualClock(), rows={"crm.deal": 200}, latency=0.1, burst=50, drain=2)
    start = portal.clock.now()
    await measured(portal, range(1, 111), RateLimitConfig())
    times = since(portal, start, "crm.deal.get")
    assert portal.refused == 0
    end, top, bottom = 32.0, 60.0, 240.0
    picture = Picture("110 calls at once: 50 pass, then 2 a second", end=end, name="seconds", step=5)
    level, last, points = 0.0, 0.0, [(0.0, 0.0)]
    for moment in times:
        level = max(0.0, level - rate * (moment - last))
        points.append((moment, level))
        level, last = level + 1, moment
        points.append((moment, level))
    points.append((end, max(0.0, level - rate * (end - last))))
    y = lambda value: bottom - (bottom - top) * value / (size * 1.1)  # noqa: E731
    path = " ".join(f"{picture.x(at):.1f},{y(value):.1f}" for at, value in points)
    picture.parts.append(
        f'<line class="limit" stroke-dasharray="6 4" x1="{picture.x(0):.1f}" x2="{picture.x(end):.1f}" '
        f'y1="{y(size):.1f}" y2="{y(size):.1f}"/><polyline class="level" stroke-width="2" points="{path}"/>'
    )
    picture.label("bucket: 50", y=y(size) + 4)
    picture.label("25", y=y(25) + 4)
    picture.label("0", y=y(0) + 4)
    picture.label("requests", y=bottom + 28)
    for moment in times:
        picture.bar("call", moment, moment + 0.04, y=bottom + 16, height=16)
    picture.save("bucket.svg", bottom=bottom + 40)


async def list_walk() -> None:
    """A list of 20,000 rows."""
    rows = 20_000
    portal = FakePortal(clock=VirtualClock(), rows={"crm.deal": rows}, latency=0.2, command_latency=0.01)
    async with (
        httpx.AsyncClient(transport=portal.transport()) as http,
        B24OAuth(portal.issue(), portal.secret, http_client=http, clock=portal.clock.now) as b24,
    ):
        read = [int(row["ID"]) async for row in b24.rows("crm.deal.list", {"select": ["ID"]})]
    assert read == list(range(1, rows + 1))
    picture = Picture("20,000 rows in 11 requests", end=rows, name="rows", step=5000)
    segments: list[tuple[float, int]] = []
    for record in portal.requests[1:]:
        commands = [unquote(text) for text in dict(record.params["cmd"]).values()]
        found = re.search(r"start=(\d+)&filter\[>ID\]=(\d+)", commands[0])
        segments.append((int(found[1]) + int(found[2]) if found else 50, len(commands) * 50))
    picture.label("1st request", y=66)
    picture.bar("refresh", 0, 250, y=54, height=16)
    picture.text("the first page and the number of rows", x=picture.x(500), y=67, kind="soft")
    picture.label("then 10", y=100)
    picture.label("batches", y=118)
    picture.label("at once", y=136)
    for number, (first, size) in enumerate(sorted(segments)):
        picture.bar("call", first, min(rows, first + size), y=84 + number * 15, height=11)
    assert len(segments) == 10
    picture.save("list.svg", bottom=84 + 15 * len(segments) + 6)


async def processes() -> None:
    """Three clients that share a store, as three processes do."""
    portal = FakePortal(clock=VirtualClock(), latency=0.15, refresh_latency=0.8)
    start = portal.clock.now()
    store = MemoryStore()
    pair = portal.issue(expired=True)
    await store.save(TokenKey(portal.secret.client_id, portal.member_id), pair, expected=None)
    calls: dict[str, Timeline] = {}

    async def process(name: str, delay: float) -> None:
        await asyncio.sleep(delay)
        async with (
            httpx.AsyncClient(transport=portal.transport()) as http,
            B24OAuth(
                pair, portal.secret, http_client=http, token_store=store, clock=portal.clock.now,
                restriction_manager=RestrictionManager(),
            ) as b24,
        ):  # fmt: skip
            calls[name] = await timed(b24, portal, 1, start)

    async with asyncio.TaskGroup() as tasks:
        for name, delay in (("process A", 0.0), ("process B", 0.15), ("process C", 0.3)):
            tasks.create_task(process(name, delay))
    (asked,) = since(portal, start, "oauth/token")
    picture = Picture("Three processes, one refresh", end=1.0, name="seconds", step=0.2)
    for number, (name, call) in enumerate(sorted(calls.items())):
        y = 54 + number * 32
        picture.label(name, y=y + 14)
        began = asked if number == 0 else call.began
        picture.bar("refresh" if number == 0 else "wait", began, call.sent, y=y, height=18)
        picture.bar("call", call.sent, call.ended, y=y, height=18)
    key = [("refresh", "holds the lease, refreshes, saves"), ("wait", "waits for the new pair"),
           ("call", "calls with the new pair")]  # fmt: skip
    picture.save("processes.svg", bottom=156, key=key)


RUNS: tuple[Callable[[], Awaitable[None]], ...] = (one_refresh, bucket, list_walk, processes)


def main(folder: Path = HERE) -> None:
    """Draws all pictures into a folder."""
    global HERE  # noqa: PLW0603 - a test draws into a folder of its own
    HERE = folder
    for run in RUNS:
        run_virtual(run())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
