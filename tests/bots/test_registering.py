"""Registration of a bot and its commands: once, and changed where something differs."""

from __future__ import annotations

from typing import Any

import pytest

from b24oauth import ConfigurationError
from b24oauth.bots import Bot, Command
from tests.bots.desk import Desk, desk

pytestmark = pytest.mark.anyio

URL = "https://app.example/bitrix24/"


def bot_with(title: Any = "Shows help", *, hidden: bool = False, **options: Any) -> Bot:
    bot = Bot("echo", **{"name": "Echo", **options})

    @bot.command("/help", title=title, params={"en": "topic", "de": "Thema"}, hidden=hidden)
    async def help_(command: Command) -> None: ...

    return bot


def changes(here: Desk) -> list[Any]:
    """The parameters of calls that change something."""
    updates = ("imbot.v2.bot.update", "imbot.v2.command.update", "imbot.v2.command.register")
    return [
        (one.method.removeprefix("imbot.v2."), one.params["fields"])
        for one in here.portal.requests
        if one.method in updates
    ]


async def test_a_bot_and_its_commands_are_registered_once() -> None:
    async with desk() as here:
        bot_id = await bot_with(work_position="Parrot", type="personal").register(here.b24)
        registered = here.bots.bot("echo")
        assert registered.id == bot_id
        assert registered.properties["workPosition"] == "Parrot"
        assert (registered.fields["type"], registered.fields["eventMode"]) == ("personal", "fetch")
        assert registered.commands["help"].title == {"en": "Shows help"}
        before = len(changes(here))
        assert await bot_with(work_position="Parrot", type="personal").register(here.b24) == bot_id
        assert len(changes(here)) == before == 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"name": "Parrot"}, {"properties": {"name": "Parrot", "lastName": "", "workPosition": ""}}),
        ({"is_hidden": True}, {"isHidden": True}),
        ({"has_reactions": False}, {"isReactionsEnabled": False}),
        ({"is_for_open_lines": True}, {"isSupportOpenline": True}),
        ({"background": "mint"}, {"backgroundId": "mint"}),
    ],
)
async def test_only_what_differs_is_changed(options: dict[str, Any], expected: dict[str, Any]) -> None:
    async with desk() as here:
        await bot_with().register(here.b24)
        before = len(changes(here))
        for _ in range(2):
            await bot_with(**options).register(here.b24)
        assert changes(here)[before:] == [("bot.update", expected)]


async def test_a_command_is_changed_when_its_text_differs_in_the_language_of_the_portal() -> None:
    async with desk() as here:
        await bot_with().register(here.b24)
        await bot_with({"en": "Shows all commands", "de": "Zeigt alles"}).register(here.b24)
        assert here.bots.bot().commands["help"].title == {"en": "Shows all commands", "de": "Zeigt alles"}
        before = len(changes(here))
        await bot_with({"en": "Shows all commands", "de": "Zeigt alles"}).register(here.b24)
        assert len(changes(here)) == before
        await bot_with({"en": "Shows all commands"}, hidden=True).register(here.b24)
        assert here.bots.bot().commands["help"].hidden


async def test_the_address_is_changed_once_and_fetching_takes_the_bot_back() -> None:
    async with desk() as here:
        await bot_with().register(here.b24)
        for _ in range(2):
            await bot_with().register(here.b24, url=URL)
        assert (here.bots.bot().fields["eventMode"], here.bots.bot().urls) == ("webhook", [URL])
        before = len(changes(here))
        await bot_with().register(here.b24, url=URL)
        assert len(changes(here)) == before
        await bot_with().register(here.b24, url=URL + "new")
        assert here.bots.bot().urls == [URL + "new"]
        await bot_with().register(here.b24)
        assert (here.bots.bot().fields["eventMode"], here.bots.bot().urls) == ("fetch", [])


async def test_a_new_picture_is_sent_once() -> None:
    async with desk() as here:
        for picture in (b"first", b"first", b"second", b"second"):
            await bot_with(avatar=picture).register(here.b24)
        sent = [fields["properties"]["avatar"] for name, fields in changes(here) if name == "bot.update"]
        assert sent[-1] == "c2Vjb25k"
        assert len(sent) == 2, "the first update cannot be told from the registration, the second is the new picture"


async def test_another_type_cannot_be_given_to_a_registered_bot() -> None:
    async with desk() as here:
        await bot_with().register(here.b24)
        with pytest.raises(ConfigurationError, match="registered as bot, which cannot be changed"):
            await bot_with(type="supervisor").register(here.b24)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"code": ""}, "code must be"),
        ({"name": " "}, "name must be"),
        ({"type": "robot"}, "type must be one of"),
        ({"concurrency": 0}, "concurrency must be"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Bot(**{"code": "echo", "name": "Echo", **arguments})


def test_wrong_commands_are_refused() -> None:
    bot = bot_with()
    for name, problem in (
        ("help", "has a handler already"),
        ("two words", "one word"),
        ("/", "one word"),
        ("", "not empty"),
    ):
        with pytest.raises(ConfigurationError, match=problem):
            bot.command(name)


@pytest.mark.parametrize("url", ["http://app.example/", "app.example", ""])
async def test_an_address_without_https_is_refused(url: str) -> None:
    async with desk() as here:
        with pytest.raises(ConfigurationError, match="https address"):
            await bot_with().register(here.b24, url=url)


def test_a_handler_that_is_no_coroutine_function_is_refused() -> None:
    def plain(message: Any) -> None: ...

    for register in (bot_with().message, bot_with().joined, bot_with().command("other")):
        with pytest.raises(ConfigurationError, match="handler plain must be a coroutine function"):
            register(plain)  # type: ignore[arg-type, type-var]
