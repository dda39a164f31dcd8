"""Events of bots as objects: the same ones for fetched and for posted events."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

from b24oauth.bots import Command, ContextOpened, Message, Talk
from b24oauth.bots.reading import read_update
from b24oauth.errors import InvalidDataError
from b24oauth.protocol.forms import read_form
from b24oauth.testing import FakePortal, VirtualClock
from b24oauth.testing.bots import FakeBots
from b24oauth.testing.messages import Call

PAYLOADS = Path(__file__).parents[1] / "data" / "payloads"
TALK: Any = Talk(None, 456)  # type: ignore[arg-type]


def what_users_do(bots: FakeBots, *, bot: str) -> None:
    """One event of each kind."""
    bots.invite("chat5", bot=bot)
    bots.invite("7", bot=bot)
    first = bots.say("Hello, [b]bot[/b] & co: 100% ✓\n", bot=bot, files={"a.txt": b"a"})
    bots.say(f"[USER={bots.bot(bot).id}]Echo[/USER], hi", dialog_id="chat5", bot=bot)
    bots.edit(first, "")
    bots.react(first, "like")
    bots.react(first, "like", removes=True)
    bots.delete(first)
    bots.command("help", "topic 1", bot=bot)
    bots.open_context({"taskId": 456, "is": True, "not": False, "share": 1.5, "list": [1, 2], "none": None}, bot=bot)
    bots.remove(bot)


@pytest.mark.parametrize("null_as_text", [False, True])
def test_a_posted_event_is_the_same_object_as_the_fetched_one(null_as_text: bool) -> None:
    portal = FakePortal(clock=VirtualClock())
    bots = FakeBots(portal, null_as_text=null_as_text)
    methods = {name: portal._rest.methods["v2", f"imbot.v2.{name}"] for name in ("bot.register", "command.register")}
    updates: dict[str, list[Any]] = {"fetch": [], "webhook": []}
    for mode, found in updates.items():

        def call(name: str, params: dict[str, Any]) -> Any:
            return methods[name](Call(method=name, version="v2", params=params, user_id=1))

        bots._chats.messages.clear()
        bots._chats._numbers.clear()
        bots._chats.bots.clear()
        portal.files._files.clear()
        fields = {"code": mode, "properties": {"name": "Echo"}, "eventMode": mode, "webhookUrl": "https://app.example/"}
        call("bot.register", {"fields": fields})
        call("command.register", {"botId": 456, "fields": {"command": "help", "title": {"en": "Help"}}})
        what_users_do(bots, bot=mode)
        if mode == "fetch":
            queue = json.loads(json.dumps(bots.bot(mode).queue))
            found += [read_update(event["type"], event["data"], TALK) for event in queue]
        else:
            forms: list[Any] = [read_form(event.body, "The body") for event in bots.outbox]
            found += [read_update(form["event"], form["data"], TALK) for form in forms]

    def bare(update: Any) -> Any:
        # The codes are those of two bots; the portal's clock is the same.
        return attrs.evolve(update, bot_code="", **_without_codes(update))

    assert list(map(bare, updates["fetch"])) == list(map(bare, updates["webhook"]))
    assert len(updates["fetch"]) == 11


def _without_codes(update: Any) -> dict[str, Any]:
    message = getattr(update, "message", None)
    return {} if message is None else {"message": attrs.evolve(message, bot_code="")}


def test_a_documented_message_is_read_with_its_types() -> None:
    form: Any = read_form((PAYLOADS / "imbotv2_messageadd.form").read_bytes(), "The body")
    message = read_update(form["event"], form["data"], TALK)
    assert isinstance(message, Message)
    assert (message.id, message.author_id, message.text) == (789, 7, "Hello, [b]bot[/b] & co: 100% ✓")
    assert message.sent_at == datetime(2026, 9, 21, 12, 13, 20, tzinfo=UTC)
    assert (message.bot_id, message.bot_code, message.dialog_id, message.language) == (456, "demo_bot", "chat5", "en")
    assert message.user is not None
    assert (message.user.id, message.user.name, message.user.is_bot) == (7, "Ann Example", False)
    assert message.chat is not None
    assert (message.chat.id, message.chat.owner_id, message.is_system) == (5, 7, False)


def test_a_documented_command_is_read() -> None:
    form: Any = read_form((PAYLOADS / "imbotv2_commandadd.form").read_bytes(), "The body")
    command = read_update(form["event"], form["data"], TALK)
    assert isinstance(command, Command)
    assert (command.id, command.name, command.params, command.origin) == (78, "help", "topic", "keyboard")
    assert command.message.id == 789


def test_the_removal_of_a_bot_is_read() -> None:
    form: Any = read_form((PAYLOADS / "imbotv2_delete.form").read_bytes(), "The body")
    removed = read_update(form["event"], form["data"], TALK)
    assert (type(removed).__name__, removed.bot_id, removed.user, removed.dialog_id) == ("BotRemoved", 456, None, "")


def test_the_values_of_a_context_are_texts_in_both_modes() -> None:
    data = {
        "bot": {"id": 1},
        "dialogId": "7",
        "context": {"id": 5, "on": True, "off": False, "none": None, "empty": []},
    }
    update = read_update("ONIMBOTV2CONTEXTGET", data, TALK)
    assert isinstance(update, ContextOpened)
    assert update.context == {"id": "5", "on": "1", "off": "0"}


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("ONIMBOTV2OTHER", {}, "no event of a bot"),
        ("ONIMBOTV2MESSAGEADD", {"message": {}}, r"data\[message\]\[id\] is missing"),
        ("ONIMBOTV2MESSAGEADD", {"message": {"id": "S3CR3T"}}, r"data\[message\]\[id\]"),
        ("ONIMBOTV2MESSAGEADD", {"message": {"id": 1, "date": "S3CR3T"}}, "date of ISO 8601"),
        ("ONIMBOTV2MESSAGEADD", {"message": "S3CR3T"}, r"data\[message\]"),
        ("ONIMBOTV2COMMANDADD", {"command": {"id": 1}, "message": {"id": 1}}, "command"),
        ("ONIMBOTV2REACTIONCHANGE", {"message": {"id": 1}}, "reaction"),
    ],
)
def test_what_cannot_be_read_is_named_without_its_value(name: str, data: Any, problem: str) -> None:
    with pytest.raises(InvalidDataError, match=problem) as caught:
        read_update(name, data, TALK)
    assert "S3CR3T" not in str(caught.value)
