"""What a bot sends: texts, keyboards, files, typing, growing messages and reactions."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from b24oauth import AccessDeniedError, AjaxError, B24OAuth, File
from b24oauth.bots import Bot, Button, Command, Keyboard, Message, Talk, Upload, uploading
from b24oauth.errors import ClientStateError, InvalidParamsError
from b24oauth.testing import faults
from tests.bots.desk import Desk, desk

pytestmark = pytest.mark.anyio


async def handled(here: Desk, handler: Callable[[Any], Awaitable[object]], text: str = "go", **said: Any) -> None:
    """Lets a handler answer one message; its error is raised."""
    bot, errors = Bot("echo", name="Echo"), list[Exception]()
    bot.message(handler)
    bot.error(lambda error, _: errors.append(error))
    async with here.running(bot):
        here.bots.say(text, **said)
        await asyncio.sleep(60)
    if errors:
        raise errors[0]


async def test_a_long_text_is_sent_as_several_messages_with_the_keyboard_below_the_last() -> None:
    keyboard = Keyboard([Button("Open", link="https://example.com")])

    async def long(message: Message) -> None:
        sent = await message.answer("word " * 9000, keyboard=keyboard, quote=message.id)
        assert len(sent.ids) == 3

    async with desk() as here:
        await handled(here, long)
        messages = [one for one in here.bots.messages("7") if one.is_of_bot]
        assert [len(one.text) <= 20_000 for one in messages] == [True] * 3
        assert [bool(one.keyboard) for one in messages] == [False, False, True]
        assert [one.reply_to for one in messages] == [790, None, None]
        assert "".join(one.text + " " for one in messages).split() == ["word"] * 9000


async def test_a_keyboard_has_rows_and_its_commands_reach_the_bot() -> None:
    bot = Bot("echo", name="Echo")

    @bot.message
    async def ask(message: Message) -> None:
        yes, no = (
            Button("Yes", command="vote", params="yes", color="primary"),
            Button("No", command="/vote", params="no"),
        )
        await message.answer("?", keyboard=Keyboard([yes, no], [Button("Call", action="CALL", value="+1")]))

    @bot.command("vote")
    async def vote(command: Command) -> None:
        await command.answer(f"{command.origin}: {command.params}")

    async with desk() as here, here.running(bot):
        here.bots.say("go")
        await asyncio.sleep(10)
        message = here.bots.messages("7")[-1]
        kinds = [button.get("TYPE") or (button["TEXT"], button["DISPLAY"]) for button in message.keyboard]
        assert kinds == [("Yes", "LINE"), ("No", "LINE"), "NEWLINE", ("Call", "BLOCK")]
        here.bots.press(message.id, "No")
        await asyncio.sleep(10)
        assert here.bots.answers("7") == ["?", "keyboard: no"]


async def test_a_message_is_changed_and_keeps_its_buttons_only_if_they_are_given_again() -> None:
    keyboard = Keyboard([Button("Go", command="go")])

    async def change(message: Message) -> None:
        sent = await message.answer("first", keyboard=keyboard)
        sent = await sent.edit("second", keyboard=keyboard)
        await sent.edit("third " * 5000, keyboard=keyboard)

    async with desk() as here:
        await handled(here, change)
        first, second = [one for one in here.bots.messages("7") if one.is_of_bot]
        assert (first.text.split()[0], first.changes, first.keyboard) == ("third", 2, [])
        assert [button["COMMAND"] for button in second.keyboard] == ["go"]


async def test_messages_are_deleted() -> None:
    async def delete(message: Message) -> None:
        sent = await message.answer("x " * 15_000)
        assert len(sent.ids) == 2
        await sent.delete()

    async with desk() as here:
        await handled(here, delete)
        assert here.bots.answers("7") == []


async def test_the_answer_to_a_command_reaches_a_chat_that_the_bot_is_not_in_and_cannot_be_changed() -> None:
    bot, errors = Bot("echo", name="Echo"), list[Exception]()

    @bot.command("help", common=True)
    async def help_(command: Command) -> None:
        sent = await command.answer("x " * 15_000)
        await sent.edit("changed")

    bot.error(lambda error, _: errors.append(error))
    async with desk() as here, here.running(bot):
        here.bots.command("help", dialog_id="chat9")
        await asyncio.sleep(10)
        assert [len(text) for text in here.bots.answers("chat9")] == [20_000 - 1, 10_000]
        assert [type(error) for error in errors] == [ClientStateError]


async def test_files_are_sent_from_bytes_a_path_and_an_iterator(tmp_path: Path) -> None:
    path = tmp_path / "from path.txt"
    path.write_bytes(b"path")

    async def pieces() -> AsyncIterator[bytes]:
        yield b"iter"
        yield b"ator"

    async def send(message: Message) -> None:
        files = [File("bytes.txt", b"bytes"), path, str(path), Upload("iterator.txt", pieces())]
        sent = await message.answer("Look:", files=files)
        assert len(sent.file_ids) == 4

    async with desk() as here:
        await handled(here, send)
        first, *rest = [one for one in here.bots.messages("7") if one.is_of_bot]
        assert first.text == "Look:"
        stored = [here.portal.files.get(message.files[0]) for message in rest]
        assert [(one.name, one.content) for one in stored] == [
            ("bytes.txt", b"bytes"),
            ("from path.txt", b"path"),
            ("from path.txt", b"path"),
            ("iterator.txt", b"iterator"),
        ]


@pytest.mark.parametrize("kind", ["bytes", "path", "iterator"])
async def test_a_file_that_is_too_large_is_refused_before_anything_is_sent(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploading, "MAX_FILE", 1024 * 1024)
    (tmp_path / "large.bin").write_bytes(bytes(1024 * 1024 + 1))
    taken = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield bytes(300_000)

    sources: dict[str, Any] = {
        "bytes": File("large.bin", bytes(1024 * 1024 + 1)),
        "path": tmp_path / "large.bin",
        "iterator": Upload("large.bin", pieces()),
    }

    async def send(message: Message) -> None:
        await message.answer("Look:", files=[sources[kind]])

    async with desk() as here:
        with pytest.raises(InvalidParamsError, match=r"large\.bin is larger than 1 MB"):
            await handled(here, send)
        assert here.bots.answers("7") == []
    assert taken <= 4, "an iterator must not be read further than the limit"


@pytest.mark.parametrize(
    ("files", "problem"),
    [("a.txt", "files must be a list"), ([5], "int is no file"), ([File("empty.txt", b"")], "is empty")],
)
async def test_what_is_no_file_is_refused(files: Any, problem: str) -> None:
    async def send(message: Message) -> None:
        await message.answer("Look:", files=files)

    async with desk() as here:
        with pytest.raises(InvalidParamsError, match=problem):
            await handled(here, send)
        assert here.bots.answers("7") == []


async def test_a_file_of_a_message_is_downloaded_and_its_address_is_never_logged(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    got = io.BytesIO()

    async def fetch(message: Message) -> None:
        (file,) = message.files
        await file.download(got)
        download = await file.download(tmp_path / "copy.txt")
        assert (download.name, download.size) == ("a.txt", 7)

    async with desk() as here:
        await handled(here, fetch, files={"a.txt": b"content"})
        assert got.getvalue() == (tmp_path / "copy.txt").read_bytes() == b"content"
        links = list(here.portal.files.links)
        assert len(links) == 2
        assert not any(token.partition("|")[2][:8] in caplog.text for token in links)
        assert "disk%7C" not in caplog.text


async def test_an_address_is_good_once() -> None:
    async with desk() as here:
        bot_id = await Bot("echo", name="Echo").register(here.b24)
        file_id = here.portal.files.add("a.txt", b"content")
        answer = await here.b24.call("imbot.v2.File.download", {"botId": bot_id, "fileId": file_id})
        await here.b24.download(answer["downloadUrl"], io.BytesIO())
        with pytest.raises(AjaxError):
            await here.b24.download(answer["downloadUrl"], io.BytesIO())
        with pytest.raises(AjaxError, match="File not found"):
            await Talk(here.b24, bot_id).download(999, io.BytesIO())


async def test_typing_is_shown_as_long_as_the_work_lasts() -> None:
    async def think(message: Message) -> None:
        async with message.typing("IMBOT_AGENT_ACTION_THINKING"):
            await asyncio.sleep(55)
        await message.answer("done")

    async with desk() as here:
        await handled(here, think)
        await asyncio.sleep(100)
        assert here.bots.typing == [("7", "IMBOT_AGENT_ACTION_THINKING", 30)] * 3
        assert here.bots.answers("7") == ["done"]


async def test_an_indicator_that_fails_later_does_not_end_the_work(caplog: pytest.LogCaptureFixture) -> None:
    async def think(message: Message) -> None:
        async with message.typing():
            await asyncio.sleep(30)
        await message.answer("done")

    async with desk() as here:
        here.portal.inject(faults.html(404), on="imbot.v2.chat.inputaction.notify", after=1)
        await handled(here, think)
        assert here.bots.answers("7") == ["done"]
        assert "typing indicator of a bot could not be shown" in caplog.text


async def words(number: int, pause: float = 0.5, *, fails: bool = False) -> AsyncIterator[str]:
    for index in range(number):
        await asyncio.sleep(pause)
        yield f"word{index} "
    if fails:
        raise ZeroDivisionError


async def test_a_text_grows_while_it_is_made_and_is_complete_at_last() -> None:
    keyboard = Keyboard([Button("Again", command="again")])

    async def stream(message: Message) -> None:
        await message.stream(words(40), every=5, keyboard=keyboard)

    async with desk() as here:
        await handled(here, stream)
        (answer,) = [one for one in here.bots.messages("7") if one.is_of_bot]
        assert answer.text.split() == [f"word{index}" for index in range(40)]
        assert 4 <= answer.changes <= 5, "20 seconds with a change each 5 seconds, and the end"
        assert len(answer.keyboard) == 1


async def test_a_growing_text_goes_on_in_further_messages() -> None:
    async def stream(message: Message) -> None:
        async def long() -> AsyncIterator[str]:
            for number in range(9):
                await asyncio.sleep(1)
                yield f"paragraph {number} " + "word " * 1000 + "\n\n"

        sent = await message.stream(long())
        assert len(sent.ids) == 3

    async with desk() as here:
        await handled(here, stream)
        texts = here.bots.answers("7")
        assert [len(text) <= 20_000 for text in texts] == [True] * 3
        joined = " ".join(texts)
        assert [joined.count(f"paragraph {number} ") for number in range(9)] == [1] * 9
        assert joined.count("word") == 9000


async def test_a_model_that_fails_leaves_what_was_shown_and_its_error_is_raised() -> None:
    async def stream(message: Message) -> None:
        await message.stream(words(6, fails=True))

    async with desk() as here:
        with pytest.raises(ZeroDivisionError):
            await handled(here, stream)
        assert len(here.bots.answers("7")) == 1


async def test_a_blank_text_cannot_be_sent() -> None:
    async def stream(message: Message) -> None:
        await message.stream(words(0))

    async with desk() as here:
        with pytest.raises(InvalidParamsError, match="needs a text, files or attach"):
            await handled(here, stream)


async def test_the_answer_to_a_command_is_streamed_when_it_is_complete() -> None:
    bot = Bot("echo", name="Echo")

    @bot.command("ask")
    async def ask(command: Command) -> None:
        await command.stream(words(10))

    async with desk() as here, here.running(bot):
        here.bots.command("ask")
        await asyncio.sleep(30)
        (text,) = here.bots.answers("7")
        assert text.split() == [f"word{index}" for index in range(10)]


async def test_reactions_are_added_and_removed() -> None:
    async def react(message: Message) -> None:
        await message.react("like")
        await message.react("fire")
        await message.unreact("like")
        with pytest.raises(AjaxError, match="Reaction not found"):
            await message.react("unknown")

    async with desk() as here:
        await handled(here, react)
        assert here.bots.messages("7")[0].reactions == {"fire"}


async def test_a_chat_that_the_bot_is_not_in_is_refused() -> None:
    async with desk() as here:
        bot_id = await Bot("echo", name="Echo").register(here.b24)
        with pytest.raises(AccessDeniedError):
            await Talk(here.b24, bot_id).send("chat5", "hello")
        sent = await Talk(here.b24, bot_id).send("12", "A notification", attach=[{"MESSAGE": "More"}])
        assert here.bots.messages("12")[0].id == sent.id
        assert here.bots.messages("12")[0].attach == [{"MESSAGE": "More"}]


async def test_in_a_group_an_ordinary_bot_hears_what_mentions_it_and_other_bots_are_not_heard() -> None:
    heard: list[str] = []
    bot = Bot("echo", name="Echo")

    @bot.message
    async def note(message: Message) -> None:
        assert isinstance(message.b24, B24OAuth)
        heard.append(message.text)

    async with desk() as here, here.running(bot):
        here.bots.invite("chat5")
        here.bots.say("not for you", dialog_id="chat5")
        here.bots.say(f"[USER={here.bots.bot().id}]Echo[/USER] hi", dialog_id="chat5")
        here.bots.say("I am a bot", user_id=99, is_bot=True)
        await asyncio.sleep(10)
        assert heard == [f"[USER={here.bots.bot().id}]Echo[/USER] hi"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "exactly one of"),
        ({"link": "https://a.example", "command": "go"}, "exactly one of"),
        ({"link": "javascript:alert(1)"}, "link must begin"),
        ({"action": "PUT"}, "action and value belong together"),
        ({"action": "FLY", "value": "x"}, "action must be one of"),
        ({"command": "go", "color": "red"}, "color must be one of"),
        ({"link": "/crm/", "blocks": True}, "blocks works with a command"),
        ({"link": "/crm/", "params": "x"}, "params are those of a command"),
        ({"text": " ", "link": "/crm/"}, "text must not be empty"),
    ],
)
def test_a_button_that_the_portal_would_not_show_is_refused(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidParamsError, match=problem):
        Button(**{"text": "Go", **arguments})


@pytest.mark.parametrize("rows", [(), ([],), (["Go"],), (Button("Go", link="/"),)])
def test_a_keyboard_without_rows_of_buttons_is_refused(rows: Any) -> None:
    with pytest.raises(InvalidParamsError, match="Keyboard:"):
        Keyboard(*rows)
