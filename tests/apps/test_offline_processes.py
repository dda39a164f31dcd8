"""Worker processes that read offline events over one store, killed at any moment."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import attrs
import pytest

from b24oauth.stores import SQLiteStore
from b24oauth.testing import FakePortal, faults
from tests.support.examples import examples
from tests.support.offline_worker import Entry, OfflineJob, read_journal
from tests.support.stores import key_of, put
from tests.support.workers import Workers, workers

pytestmark = pytest.mark.anyio

UPDATE = "ONCRMDEALUPDATE"


@attrs.define(eq=False)
class Office:
    """Portals on loopback, their pairs in an SQLite file, and workers."""

    portals: list[FakePortal]
    workers: Workers
    job: OfflineJob
    killed: dict[int, float] = attrs.field(factory=dict)
    changed: defaultdict[str, set[str]] = attrs.field(factory=lambda: defaultdict(set))

    def change(self, portal: FakePortal, deal: int) -> None:
        portal.offline.add(UPDATE, {"FIELDS": {"ID": str(deal)}})
        self.changed[portal.member_id].add(str(deal))

    def kill(self, pid: int) -> None:
        self.workers.kill(pid)
        self.killed[pid] = time.time()

    async def stop(self, pid: int) -> list[str]:
        """Asks a worker to end; returns the errors that it has seen."""
        self.workers.kill(pid, signal.SIGTERM)
        outcome = await self.workers.outcome(pid)
        assert "failed" not in outcome, outcome
        return outcome["errors"]

    def is_empty(self, *, but: FakePortal | None = None) -> bool:
        return all(not portal.offline.rows for portal in self.portals if portal is not but)

    async def emptied(self, *, but: FakePortal | None = None, within: float = 60) -> None:
        async with asyncio.timeout(within):
            while not self.is_empty(but=but):  # noqa: ASYNC110 - other processes empty it
                await asyncio.sleep(0.05)

    async def begun(self, *, by: int) -> None:
        """Waits until a worker processes an event."""
        async with asyncio.timeout(30):
            while not any(entry.pid == by for entry in self.journal()):  # noqa: ASYNC110 - another process does it
                await asyncio.sleep(0.02)

    def journal(self) -> list[Entry]:
        return read_journal(self.job.journal)

    def processed(self) -> dict[str, set[str]]:
        processed: defaultdict[str, set[str]] = defaultdict(set)
        for entry in self.journal():
            if entry.what == "end":
                processed[entry.portal].add(entry.event)
        return processed

    def check_one_reader_at_a_time(self) -> None:
        """No process begins an event of a portal while another one processes one of it."""
        working: dict[str, Entry] = {}
        for entry in sorted(self.journal(), key=lambda entry: entry.time):
            before = working.pop(entry.portal, None)
            if entry.what == "begin":
                if before is not None and before.pid != entry.pid:
                    assert before.pid in self.killed, (before, entry)
                    assert self.killed[before.pid] <= entry.time, (before, entry)
                working[entry.portal] = entry


@asynccontextmanager
async def office(folder: Path, portals: int, **options: float) -> AsyncIterator[Office]:
    limits = {"burst": options.get("burst"), "drain": options.get("rate")}
    made = [FakePortal(clock=time.time, member_id=f"portal-{n}", record=False, **limits) for n in range(portals)]
    store = SQLiteStore(folder / "tokens.db")
    async with AsyncExitStack() as stack:
        hosts: set[str] = set()
        for portal in made:
            await stack.enter_async_context(portal.serve())
            portal.offline.bind(UPDATE)
            await put(store, portal.issue(), key=key_of(portal))
            hosts |= portal.trusted_oauth_hosts
        job = OfflineJob(
            store=str(folder / "tokens.db"),
            journal=str(folder / "journal"),
            secret=made[0].secret.to_dict(),
            hosts=sorted(hosts),
            **options,
        )
        running = await stack.enter_async_context(workers("tests.support.offline_worker"))
        stack.push_async_callback(store.aclose)
        yield Office(made, running, job)


async def test_no_event_is_lost_however_often_workers_are_killed(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random("killed at seeded moments")
    async with office(tmp_path, 2, pace=0.004, limit=5) as here:
        running = [await here.workers.start(here.job) for _ in range(2)]
        deals = 0
        for _ in range(examples(5, 100)):
            for portal in here.portals:
                for _ in range(chance.randint(1, 30)):
                    deals += 1
                    here.change(portal, chance.choice((deals, chance.randint(1, deals))))
            await asyncio.sleep(chance.uniform(0, 1.2))
            victim = running.pop(chance.randrange(2))
            here.kill(victim)
            running.append(await here.workers.start(here.job))
        await here.emptied()
        for pid in running:
            assert await here.stop(pid) == []
        assert here.processed() == here.changed
        assert all(portal.offline.open_processes == set() for portal in here.portals)
        here.check_one_reader_at_a_time()
        began = sum(entry.what == "begin" for entry in here.journal())
        record_property("events", deals)
        record_property("processed", began)
        assert began < 3 * deals


async def test_no_event_is_lost_with_responses_and_workers(tmp_path: Path) -> None:
    chance = random.Random("lost responses")
    async with office(tmp_path, 2, pace=0.002, limit=5) as here:
        running = await here.workers.start(here.job)
        for _ in range(examples(3, 40)):
            for portal in here.portals:
                for deal in chance.sample(range(1, 40), 15):
                    here.change(portal, deal)
                method = chance.choice(["get", "get", "clear", "list"])
                fault = chance.choice([faults.drop_after(), faults.drop_before(), faults.truncated_json()])
                portal.inject(fault, on=f"event.offline.{method}", after=chance.randint(0, 3))
            await asyncio.sleep(chance.uniform(0, 1.5))
            here.kill(running)
            running = await here.workers.start(here.job)
        for portal in here.portals:
            portal.clear_faults()
        await here.emptied()
        await here.stop(running)
        assert here.processed() == here.changed
        here.check_one_reader_at_a_time()


async def test_a_worker_that_was_suspended_beyond_its_lease_gives_its_portal_up(tmp_path: Path) -> None:
    async with office(tmp_path, 1, pace=0.02, limit=5) as here:
        for deal in range(1, examples(150, 600)):
            here.change(here.portals[0], deal)
        first = await here.workers.start(here.job)
        await here.begun(by=first)
        here.workers.kill(first, signal.SIGSTOP)
        second = await here.workers.start(here.job)
        await here.begun(by=second)
        seen = len(here.journal())
        here.workers.kill(first, signal.SIGCONT)
        await asyncio.sleep(1)
        # It goes on for an instant, with the event that it was about to begin, and confirms nothing.
        late = [entry for entry in here.journal()[seen:] if entry.pid == first and entry.what == "begin"]
        assert len(late) <= 1
        await here.emptied()
        await here.stop(first)
        await here.stop(second)
        assert here.processed() == here.changed


async def test_workers_share_many_portals_and_starve_none(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    events = examples(25, 500)
    async with office(tmp_path, 21, concurrency=3, limit=examples(5, 20), burst=20, rate=10, drain=2) as here:
        silent, *others = here.portals
        silent.inject(faults.hang(), times=None)
        for portal in others:
            for deal in range(1, events + 1):
                here.change(portal, deal)
        began = time.monotonic()
        running = [await here.workers.start(here.job) for _ in range(4)]
        await here.emptied(but=silent, within=240)
        record_property("seconds", round(time.monotonic() - began, 1))
        for pid in running:
            await here.stop(pid)
        assert here.processed() == here.changed
        assert [portal.refused for portal in here.portals] == [0] * 21
        here.check_one_reader_at_a_time()
        ends = [entry for entry in here.journal() if entry.what == "end"]
        # On a busy machine a lease may be lost, and its events come again.
        assert len({(entry.portal, entry.event) for entry in ends}) == 20 * events
        assert len({entry.pid for entry in ends}) == 4
