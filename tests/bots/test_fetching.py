"""Bots that fetch their events: order, acknowledgement, several processes, and errors."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import httpx
import pytest

from b24oauth import AjaxError, B24Portals, ConfigurationError, RestrictionParams
from b24oauth.bots import BOT_LIMITS, Bot, Message
from b24oauth.bots.fetching import Fetcher
from b24oauth.errors import StoreError
from b24oauth.stores import MemoryStore, ValueKey
from b24oauth.testing import faults, run_virtual
from tests.bots.desk import desk
from tests.support.clients import connected, fake_portal
from tests.support.stores import CLIENT_ID, put

pytestmark = pytest.mark.anyio


def echo(**options: Any) -> Bot:
    bot = Bot("echo", name="Echo", **options)

    @bot.message
    async def answer(message: Message) -> None:
        await message.answer(message.text)

    return bot


async def test_a_message_is_answered_and_acknowledged() -> None:
    async with desk() as here, here.running(echo()):
        here.bots.say("Hello, [b]bot[/b]")
        await asyncio.sleep(10)
        assert here.bots.answers("7") == ["Hello, [b]bot[/b]"]
        await asyncio.sleep(10)
        assert here.bots.bot().queue == []
        key = ValueKey(CLIENT_ID, here.portal.member_id, f"bot:{here.bots.bot().id}:offset")
        stored = await here.store.load_value(key)
        assert stored is not None
        assert int(stored.value) == here.bots.bot().last_event + 1


async def test_idle_requests_are_a_poll_apart_and_those_for_more_two_seconds() -> None:
    async with desk() as here:
        bot = echo()
        await bot.register(here.b24)
        for number in range(250):
            here.bots.say(f"{number}", user_id=number + 1)
        async with here.running(bot, poll=20):
            await asyncio.sleep(90)
        times = [one.time for one in here.portal.requests if one.method == "imbot.v2.event.get"]
        pauses = [round(later - earlier, 1) for earlier, later in itertools.pairwise(times)]
        assert pauses == [2.0, 2.0, 20.0, 20.0, 20.0, 20.0]


async def test_the_order_is_kept_within_each_dialog_and_dialogs_do_not_wait_for_each_other() -> None:
    seen: list[tuple[str, str]] = []
    bot = Bot("echo", name="Echo")

    @bot.message
    async def note(message: Message) -> None:
        # Later messages of a dialog would overtake the earlier ones.
        await asyncio.sleep(10 - int(message.text) if message.dialog_id == "7" else 0)
        seen.append((message.dialog_id, message.text))

    async with desk() as here, here.running(bot):
        for number in range(5):
            here.bots.say(f"{number}", user_id=7)
            here.bots.say(f"{number}", user_id=8)
        await asyncio.sleep(7)
        assert [text for dialog, text in seen if dialog == "8"] == list("01234")
        assert [text for dialog, text in seen if dialog == "7"] == []
        await asyncio.sleep(60)
        assert [text for dialog, text in seen if dialog == "7"] == list("01234")


async def test_a_slow_handler_keeps_no_other_dialog_waiting_and_only_what_is_done_is_acknowledged() -> None:
    bot, release = echo(), asyncio.Event()

    @bot.message
    async def slow(message: Message) -> None:
        if message.text == "slow":
            await release.wait()

    async with desk() as here, here.running(bot):
        here.bots.say("slow", user_id=7)
        await asyncio.sleep(10)
        here.bots.say("quick", user_id=8)
        await asyncio.sleep(10)
        assert here.bots.answers("8") == ["quick"]
        queue = [event["eventId"] for event in here.bots.bot().queue]
        assert len(queue) == 2, "an event that is not done must not be acknowledged, nor those behind it"
        release.set()
        await asyncio.sleep(10)
        assert here.bots.answers("7") == ["slow"]
        assert here.bots.answers("8") == ["quick"], "an event that is delivered again must not be handled again"
        assert here.bots.bot().queue == []


async def test_concurrency_is_bounded() -> None:
    running, most = 0, 0
    bot = Bot("echo", name="Echo", concurrency=3)

    @bot.message
    async def work(message: Message) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1

    async with desk() as here, here.running(bot):
        for user in range(1, 21):
            here.bots.say("go", user_id=user)
        await asyncio.sleep(30)
    assert most == 3


async def test_more_events_than_a_response_holds_are_all_handled_behind_a_slow_one() -> None:
    seen, release = set[str](), asyncio.Event()
    bot = Bot("echo", name="Echo")

    @bot.message
    async def note(message: Message) -> None:
        if message.text == "slow":
            await release.wait()
        seen.add(message.dialog_id)

    async with desk() as here, here.running(bot):
        here.bots.say("slow", user_id=1)
        for user in range(2, 1503):
            here.bots.say("quick", user_id=user)
        await asyncio.sleep(120)
        assert 900 < len(seen) < 1002, "what a response cannot hold waits for the oldest event"
        release.set()
        await asyncio.sleep(120)
        assert seen == {str(user) for user in range(1, 1503)}
        assert here.bots.bot().queue == []


async def test_an_error_of_a_handler_is_reported_and_the_event_counts_as_handled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bot, told = Bot("echo", name="Echo"), list[Any]()

    @bot.message
    async def fail(message: Message) -> None:
        raise RuntimeError("S3CR3T")

    async with desk() as here, here.running(bot):
        here.bots.say("first")
        await asyncio.sleep(10)
        assert "handling Message failed: RuntimeError" in caplog.text
        assert "S3CR3T" not in caplog.text

        @bot.error
        async def failed(error: Exception, update: Any) -> None:
            told.append((type(error), update.text))

        here.bots.say("second")
        await asyncio.sleep(10)
        assert told == [(RuntimeError, "second")]
        await asyncio.sleep(10)
        assert here.bots.bot().queue == []


async def test_a_handler_of_errors_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    bot = Bot("echo", name="Echo")

    @bot.message
    async def fail(message: Message) -> None:
        raise asyncio.CancelledError  # not a cancellation of this task

    @bot.error
    def failed(error: Exception, update: Any) -> None:
        raise ZeroDivisionError

    async with desk() as here, here.running(bot):
        here.bots.say("first")
        await asyncio.sleep(10)
        assert "The handler of errors failed: ZeroDivisionError" in caplog.text
        assert "A handler raised CancelledError" in caplog.text


async def test_an_event_that_cannot_be_read_is_reported_and_keeps_no_other_waiting() -> None:
    bot, told = echo(), list[Any]()
    bot.error(lambda error, update: told.append((str(error), update)))
    async with desk() as here:
        await bot.register(here.b24)
        here.bots.say("first")
        del here.bots.bot().queue[0]["data"]["message"]["id"]
        here.bots.say("second", user_id=8)
        async with here.running(bot):
            await asyncio.sleep(10)
            assert here.bots.answers("8") == ["second"]
            ((text, update),) = told
            assert "data[message][id] is missing" in text
            assert update is None


async def test_a_failed_request_is_repeated_later_and_running_handlers_go_on(caplog: pytest.LogCaptureFixture) -> None:
    bot, release = Bot("echo", name="Echo"), asyncio.Event()

    @bot.message
    async def slow(message: Message) -> None:
        await release.wait()
        await message.answer("done")

    async with desk() as here, here.running(bot):
        here.bots.say("go")
        await asyncio.sleep(6)
        here.portal.inject(faults.html(404), on="imbot.v2.event.get")
        await asyncio.sleep(10)
        release.set()
        await asyncio.sleep(30)
        assert here.bots.answers("7") == ["done"]
        assert here.bots.bot().queue == []


async def test_one_of_several_processes_fetches_and_another_takes_over() -> None:
    portal = fake_portal()
    async with desk(portal=portal) as here:
        readers: list[str] = []

        def named(name: str) -> Bot:
            bot = Bot("echo", name="Echo")

            @bot.message
            async def note(message: Message) -> None:
                readers.append(name)

            return bot

        stop_first = asyncio.Event()
        first = asyncio.create_task(named("first").run(here.b24, stop=stop_first))
        await asyncio.sleep(1)
        async with here.running(named("second")):
            for _ in range(3):
                here.bots.say("hello")
                await asyncio.sleep(10)
            assert readers == ["first"] * 3
            stop_first.set()
            await first
            await asyncio.sleep(20)
            here.bots.say("hello")
            await asyncio.sleep(10)
            assert readers == [*["first"] * 3, "second"]


async def test_a_stopped_bot_finishes_what_it_has_fetched() -> None:
    bot = Bot("echo", name="Echo")

    @bot.message
    async def slow(message: Message) -> None:
        await asyncio.sleep(15)
        await message.answer("done")

    async with desk() as here:
        async with here.running(bot):
            here.bots.say("go")
            await asyncio.sleep(6)
        assert here.bots.answers("7") == ["done"]
        async with here.running(echo()):
            await asyncio.sleep(10)
        assert here.bots.answers("7") == ["done"], "what was done must not be done again"


async def test_what_is_not_done_in_time_is_done_by_the_next_process() -> None:
    bot = Bot("echo", name="Echo")

    @bot.message
    async def hang(message: Message) -> None:
        await asyncio.sleep(0 if message.dialog_id == "8" else 1000)
        await message.answer("done")

    async with desk() as here:
        async with here.running(bot, drain=3):
            here.bots.say("go")
            here.bots.say("go", user_id=8)
            await asyncio.sleep(6)
        assert here.bots.answers("7") == []
        async with here.running(echo()):
            await asyncio.sleep(10)
        assert here.bots.answers("7") == ["go"]


async def test_a_cancelled_bot_keeps_what_is_done_and_hands_over_at_once() -> None:
    async with desk() as here:
        bot = echo()
        task = asyncio.create_task(bot.run(here.b24, stop=asyncio.Event()))
        await asyncio.sleep(1)
        here.bots.say("go")
        await asyncio.sleep(6)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        async with here.running(bot):
            await asyncio.sleep(10)
        assert here.bots.answers("7") == ["go"]


async def test_a_bot_that_was_removed_with_the_application_is_registered_anew() -> None:
    async with desk() as here, here.running(echo()):
        here.bots._chats.bots.clear()
        await asyncio.sleep(30)
        here.bots.say("again")
        await asyncio.sleep(30)
        assert here.bots.answers("7") == ["again"]


async def test_a_refused_registration_is_raised() -> None:
    async with desk() as here:
        here.bots.foreign_codes.add("echo")
        with pytest.raises(AjaxError, match="already taken"):
            await echo().run(here.b24, stop=asyncio.Event())


async def test_a_client_without_a_store_fetches_too() -> None:
    async with desk() as here, connected(here.portal) as b24:
        stop = asyncio.Event()
        task = asyncio.create_task(echo().run(b24, stop=stop))
        await asyncio.sleep(1)
        here.bots.say("hello")
        await asyncio.sleep(10)
        stop.set()
        await task
        assert here.bots.answers("7") == ["hello"]


async def test_the_limits_for_bots_keep_within_two_requests_a_second() -> None:
    async with desk(rate=2, restriction_params=BOT_LIMITS) as here, here.running(echo()):
        for user in range(1, 41):
            here.bots.say("hello", user_id=user)
        await asyncio.sleep(60)
        assert [here.bots.answers(str(user)) for user in range(1, 41)] == [["hello"]] * 40
        assert here.bots.refused == 0


async def test_a_client_with_the_usual_limits_slows_down_when_the_portal_refuses_its_bot() -> None:
    async with desk(rate=2, restriction_params=RestrictionParams(max_retries=10)) as here, here.running(echo()):
        for user in range(1, 41):
            here.bots.say("hello", user_id=user)
        await asyncio.sleep(200)
        assert [here.bots.answers(str(user)) for user in range(1, 41)] == [["hello"]] * 40
        assert here.bots.refused > 0


@pytest.mark.parametrize("poll", [0, 4.9, 31, "5"])
async def test_a_poll_outside_of_the_recommended_range_is_refused(poll: Any) -> None:
    async with desk() as here:
        with pytest.raises(ConfigurationError, match="poll must be"):
            await echo().run(here.b24, poll=poll)


async def test_all_portals_of_an_application_are_served() -> None:
    async with desk() as here:
        store = MemoryStore()
        await put(store, here.portal.issue())

        async with httpx.AsyncClient(transport=here.portal.transport()) as http:
            portals = B24Portals(
                here.portal.secret, store, http_client=http, trusted_oauth_hosts=here.portal.trusted_oauth_hosts
            )
            async with portals:
                task = asyncio.create_task(echo().run_portals(portals))
                await asyncio.sleep(5)
                here.bots.say("hello")
                await asyncio.sleep(20)
                assert here.bots.answers("7") == ["hello"]
                task.cancel()
                await asyncio.wait({task})


def test_a_bot_may_be_used_in_one_event_loop_after_another() -> None:
    bot = echo(concurrency=1)

    async def serve() -> None:
        async with desk() as here, here.running(bot):
            for user in range(1, 6):
                here.bots.say("hello", user_id=user)
            await asyncio.sleep(10)
            assert [here.bots.answers(f"{user}") for user in range(1, 6)] == [["hello"]] * 5

    for _ in range(2):
        run_virtual(serve())


async def test_a_cancelled_bot_whose_store_fails_is_cancelled_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    async with desk() as here:
        await echo().register(here.b24)
        task = asyncio.create_task(Fetcher(slow := echo(), poll=5, register=slow.register).consume(here.b24))

        @slow.message
        async def hang(message: Message) -> None:
            await asyncio.sleep(1000 if message.dialog_id == "8" else 0)

        here.bots.say("done", user_id=7)
        here.bots.say("hangs", user_id=8)
        await asyncio.sleep(1)

        async def fail(*_: Any, **__: Any) -> str:
            raise StoreError("The disk is full", code="B24OAUTH_STORE")

        here.store.save_value = fail  # type: ignore[method-assign]
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        assert "events may be handled again" in caplog.text
