"""Bots whose events are posted to an application: what is believed, the order, and errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from b24oauth.apps import B24App, Request
from b24oauth.bots import Bot, BotRemoved, ContextOpened, Joined, Message, MessageChanged, MessageDeleted, Reaction
from b24oauth.protocol.forms import read_form
from b24oauth.stores import MemoryStore
from b24oauth.testing import FakePortal, VirtualClock
from b24oauth.testing.applications import encode_form, event_body
from b24oauth.testing.bots import FakeBots
from tests.support.clients import UNLIMITED

pytestmark = pytest.mark.anyio

URL = "https://app.example/bitrix24/"


class Office:
    """A portal, and an application with a bot that is installed there."""

    def __init__(self, app: B24App, portal: FakePortal, bots: FakeBots) -> None:
        self.app, self.portal, self.bots = app, portal, bots

    async def deliver(self) -> list[int]:
        """Posts the events in their order; the statuses of the responses."""
        events, self.bots.outbox = self.bots.outbox, []
        return [(await self.app.handle(Request(body=event.body))).status for event in events]

    async def forged(self, **claim: Any) -> int:
        """Posts the waiting event with other tokens of the bot; the status of the response."""
        (event,) = self.bots.outbox
        self.bots.outbox.clear()
        form: Any = read_form(event.body, "The body")
        form["data"]["bot"]["auth"] |= claim
        return (await self.app.handle(Request(body=encode_form(form)))).status


@asynccontextmanager
async def office(*bots: Bot, **options: Any) -> AsyncIterator[Office]:
    portal = FakePortal(clock=VirtualClock())
    async with httpx.AsyncClient(transport=portal.transport()) as http:
        app = B24App(
            portal.secret,
            MemoryStore(),
            http_client=http,
            trusted_oauth_hosts=portal.trusted_oauth_hosts,
            clock=portal.clock.now,
            restriction_params=UNLIMITED,
            **options,
        )
        for bot in bots:
            bot.attach(app, url=URL)
        here = Office(app, portal, FakeBots(portal))
        async with app:
            body = event_body(portal, "ONAPPINSTALL", {"VERSION": "1"})
            assert (await app.handle(Request(body=body))).status == 200
            await asyncio.sleep(1)
            yield here


def echo(code: str = "echo") -> Bot:
    bot = Bot(code, name="Echo")

    @bot.message
    async def answer(message: Message) -> None:
        await message.answer(message.text)

    return bot


async def test_an_installation_registers_the_bot_and_its_messages_are_answered() -> None:
    async with office(echo()) as here:
        assert (here.bots.bot().fields["eventMode"], here.bots.bot().urls) == ("webhook", [URL])
        here.bots.say("Hello & [b]co[/b]: 100% ✓")
        assert await here.deliver() == [200]
        await asyncio.sleep(1)
        assert here.bots.answers("7") == ["Hello & [b]co[/b]: 100% ✓"]


async def test_answers_are_sent_with_the_applications_pair_and_not_with_the_bots() -> None:
    async with office(echo()) as here:
        here.bots.say("hello")
        await here.deliver()
        await asyncio.sleep(1)
        (sent,) = [one for one in here.portal.requests if one.method == "imbot.v2.chat.message.send"]
        registered = next(one for one in here.portal.requests if one.method == "imbot.v2.bot.register")
        assert sent.token == registered.token


@pytest.mark.parametrize(
    "claim",
    [
        {"member_id": "another-portal"},
        {"client_endpoint": "https://evil.example/rest/"},
        {"client_endpoint": "https://[evil.example/rest/"},
        {"application_token": "forged"},
    ],
)
async def test_an_event_whose_bot_tokens_contradict_the_verified_ones_reaches_no_handler(
    claim: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with office(echo()) as here:
        here.bots.say("hello")
        assert await here.forged(**claim) == 200, "it is answered before it is looked at"
        await asyncio.sleep(1)
        assert here.bots.answers("7") == []
        assert "NotGenuineError" in caplog.text
        assert "evil.example" not in {request.host for request in here.portal.requests}


async def test_forged_tokens_that_contradict_nothing_are_not_used() -> None:
    async with office(echo()) as here:
        here.bots.say("hello")
        assert await here.forged(access_token="forged", refresh_token="forged", server_endpoint="https://evil/") == 200
        await asyncio.sleep(1)
        assert here.bots.answers("7") == ["hello"]


@pytest.mark.parametrize("token", ["", "wrong"])
async def test_an_event_without_the_application_token_is_refused(token: str) -> None:
    async with office(echo()) as here:
        here.bots.say("hello")
        (event,) = here.bots.outbox
        form: Any = read_form(event.body, "The body")
        form["auth"]["application_token"] = token
        assert (await here.app.handle(Request(body=encode_form(form)))).status == 403
        await asyncio.sleep(1)
        assert here.bots.answers("7") == []


async def test_the_order_is_kept_within_each_dialog_and_dialogs_do_not_wait_for_each_other() -> None:
    seen: list[tuple[str, str]] = []
    bot = Bot("echo", name="Echo")

    @bot.message
    async def note(message: Message) -> None:
        await asyncio.sleep(10 - int(message.text) if message.dialog_id == "7" else 0)
        seen.append((message.dialog_id, message.text))

    async with office(bot) as here:
        for number in range(5):
            here.bots.say(f"{number}", user_id=7)
            here.bots.say(f"{number}", user_id=8)
        assert await here.deliver() == [200] * 10
        await asyncio.sleep(1)
        assert [text for dialog, text in seen if dialog == "8"] == list("01234")
        await asyncio.sleep(60)
        assert [text for dialog, text in seen if dialog == "7"] == list("01234")


async def test_each_bot_of_an_application_gets_its_own_events() -> None:
    async with office(echo("first"), echo("second")) as here:
        here.bots.say("to the second", bot="second")
        await here.deliver()
        await asyncio.sleep(1)
        (message,) = [one for one in here.bots.messages("7") if one.is_of_bot]
        assert message.author_id == here.bots.bot("second").id


async def test_every_kind_of_event_reaches_its_handler() -> None:
    seen: list[Any] = []
    bot = Bot("echo", name="Echo")
    for register in (bot.changed, bot.deleted, bot.joined, bot.reaction, bot.context, bot.removed):

        async def note(event: Any) -> None:
            seen.append(event)

        register(note)
    async with office(bot) as here:
        here.bots.invite("chat5")
        message = here.bots.say("hello")
        here.bots.edit(message, "changed")
        here.bots.react(message, "like")
        here.bots.delete(message)
        here.bots.open_context({"pairCode": "x"})
        here.bots.remove()
        await here.deliver()
        await asyncio.sleep(1)
        kinds = [Joined, MessageChanged, Reaction, MessageDeleted, ContextOpened, BotRemoved]
        assert sorted(type(event).__name__ for event in seen) == sorted(kind.__name__ for kind in kinds)
        (context,) = [event for event in seen if isinstance(event, ContextOpened)]
        assert (context.dialog_id, context.context, context.user and context.user.id) == ("7", {"pairCode": "x"}, 7)


async def test_an_error_goes_to_the_application_unless_the_bot_has_a_handler_of_errors() -> None:
    bot, told = Bot("echo", name="Echo"), list[Any]()

    @bot.message
    async def fail(message: Message) -> None:
        raise RuntimeError

    async with office(bot) as here:
        here.app.on_error(lambda error, incoming: told.append(("app", type(error))))
        here.bots.say("hello")
        await here.deliver()
        await asyncio.sleep(1)

        @bot.error
        async def failed(error: Exception, update: Any) -> None:
            told.append(("bot", type(error)))

        here.bots.say("hello")
        await here.deliver()
        await asyncio.sleep(1)
        here.bots.say("hello")
        await here.forged(member_id="another-portal")
        await asyncio.sleep(1)
        names = [(who, kind.__name__) for who, kind in told]
        assert names == [("app", "RuntimeError"), ("bot", "RuntimeError"), ("bot", "NotGenuineError")]


async def test_a_closing_application_waits_for_the_messages_that_it_has_acknowledged() -> None:
    done: list[str] = []
    bot = Bot("echo", name="Echo")

    @bot.message
    async def slow(message: Message) -> None:
        await asyncio.sleep(2)
        done.append(message.text)

    async with office(bot) as here:
        for number in range(4):
            here.bots.say(f"{number}")
        assert await here.deliver() == [200] * 4
    assert done == list("0123")
