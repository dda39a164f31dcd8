"""The fake portal's `imbot.v2` is as awkward as the real one is documented to be."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from b24oauth import AjaxError, RateLimitConfig, RestrictionParams
from b24oauth.protocol.forms import read_form
from b24oauth.testing.bots import FakeBots
from b24oauth.testing.installed import AppRequest, AppResponse
from tests.support.clients import connected, fake_portal

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[Any]]


class Desk:
    def __init__(self, bots: FakeBots, call: Call) -> None:
        self.bots, self.call = bots, call

    async def register(self, code: str = "echo", **fields: Any) -> int:
        wanted = {"code": code, "properties": {"name": "Echo"}, **fields}
        return int((await self.call("Bot.register", fields=wanted))["bot"]["id"])

    async def refusal(self, method: str, **params: Any) -> str:
        with pytest.raises(AjaxError) as caught:
            await self.call(method, **params)
        return caught.value.code


@pytest.fixture
async def here() -> Any:
    portal = fake_portal()
    bots = FakeBots(portal)
    async with connected(portal) as b24:

        async def call(method: str, **params: Any) -> Any:
            return await b24.call(f"imbot.v2.{method}", params)

        yield Desk(bots, call)


async def test_a_second_registration_changes_nothing(here: Desk) -> None:
    first = await here.register()
    assert await here.register(properties={"name": "Parrot"}, isHidden=True) == first
    shown = await here.call("Bot.get", botId=first)
    assert (shown["users"][0]["name"], shown["bot"]["isHidden"]) == ("Echo", False)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "BOT_CODE_REQUIRED"),
        ({"code": "echo"}, "BOT_PROPERTIES_REQUIRED"),
        ({"code": "taken", "properties": {"name": "Echo"}}, "BOT_CODE_ALREADY_TAKEN"),
        ({"code": "echo", "properties": {"name": "Echo"}, "type": "robot"}, "BOT_INVALID_TYPE"),
        ({"code": "echo", "properties": {"name": "Echo"}, "eventMode": "push"}, "BOT_INVALID_EVENT_MODE"),
        ({"code": "echo", "properties": {"name": "Echo"}, "eventMode": "webhook"}, "BOT_WEBHOOK_URL_REQUIRED"),
        (
            {
                "code": "echo",
                "properties": {"name": "Echo"},
                "eventMode": "webhook",
                "webhookUrl": "https://localhost/",
            },
            "BOT_INVALID_CALLBACK",
        ),
    ],
)
async def test_a_registration_is_refused(here: Desk, fields: dict[str, Any], code: str) -> None:
    here.bots.foreign_codes.add("taken")
    assert await here.refusal("Bot.register", fields=fields) == code


async def test_each_method_wants_a_bot_of_the_application(here: Desk) -> None:
    bot_id = await here.register()
    assert await here.refusal("Event.get") == "BOT_ID_REQUIRED"
    assert await here.refusal("Event.get", botId=bot_id + 1) == "BOT_NOT_FOUND"
    here.bots.foreign_codes.add("echo")
    assert await here.refusal("Event.get", botId=bot_id) == "BOT_OWNERSHIP_ERROR"


async def test_an_offset_acknowledges_what_is_below_it_and_everything_else_is_delivered_again(here: Desk) -> None:
    bot_id = await here.register()
    empty = await here.call("Event.get", botId=bot_id)
    assert empty == {"events": [], "nextOffset": None, "hasMore": False}
    for number in range(5):
        here.bots.say(f"{number}")
    for _ in range(2):
        page = await here.call("Event.get", botId=bot_id, limit=3)
        assert [event["data"]["message"]["text"] for event in page["events"]] == ["0", "1", "2"]
        assert page["hasMore"]
    page = await here.call("Event.get", botId=bot_id, limit=3, offset=page["nextOffset"])
    assert [event["data"]["message"]["text"] for event in page["events"]] == ["3", "4"]
    assert not page["hasMore"]
    page = await here.call("Event.get", botId=bot_id, offset=page["nextOffset"])
    assert (page["events"], page["nextOffset"]) == ([], here.bots.bot().last_event + 1)


async def test_the_flat_form_of_a_command_has_ended_and_a_visible_command_wants_a_title(here: Desk) -> None:
    bot_id = await here.register()
    assert await here.refusal("Command.register", botId=bot_id, command="help") == "COMMAND_REQUIRED"
    fields: dict[str, Any] = {"command": "help"}
    assert await here.refusal("Command.register", botId=bot_id, fields=fields) == "COMMAND_TITLE_REQUIRED"
    fields = {"command": "/help", "title": {"en": "Help"}}
    assert await here.refusal("Command.register", botId=bot_id, fields=fields) == "COMMAND_NAME_INVALID"


async def test_a_long_text_is_cut_and_an_empty_one_refused(here: Desk) -> None:
    bot_id = await here.register()
    await here.call("Chat.Message.send", botId=bot_id, dialogId="7", fields={"message": "x" * 20_001})
    assert here.bots.answers("7") == ["x" * 20_000 + " (...)"]
    refused = await here.refusal("Chat.Message.send", botId=bot_id, dialogId="7", fields={"message": " "})
    assert refused == "EMPTY_MESSAGE"
    assert await here.refusal("Chat.Message.send", botId=bot_id, dialogId="chat5", fields={}) == "ACCESS_DENIED"


async def test_only_own_messages_are_changed_and_system_messages_are_not(here: Desk) -> None:
    bot_id = await here.register()
    of_user = here.bots.say("hello")
    system = {"message": "hello", "system": True}
    sent = await here.call("Chat.Message.send", botId=bot_id, dialogId="7", fields=system)
    for message_id in (of_user, sent["id"], 5):
        change: dict[str, Any] = {"botId": bot_id, "messageId": message_id, "fields": {"message": "changed"}}
        assert await here.refusal("Chat.Message.update", **change) == "ACCESS_DENIED"


async def test_a_keyboard_wants_names_in_upper_case_and_its_bot_when_it_is_changed(here: Desk) -> None:
    bot_id = await here.register()
    keyboard = [{"TEXT": "Go", "COMMAND": "go"}, {"text": "No", "command": "no"}, {"TEXT": "Nothing"}]
    fields = {"message": "?", "keyboard": keyboard}
    sent = await here.call("Chat.Message.send", botId=bot_id, dialogId="7", fields=fields)
    message = here.bots.messages("7")[0]
    assert [button["TEXT"] for button in message.keyboard] == ["Go"]
    await here.call(
        "Chat.Message.update", botId=bot_id, messageId=sent["id"], fields={"keyboard": {"BUTTONS": keyboard}}
    )
    assert message.keyboard == []


async def test_an_upload_wants_base64(here: Desk) -> None:
    bot_id = await here.register()
    for content, code in (("", "FILE_EMPTY"), ("%%%", "FILE_INVALID_CONTENT")):
        fields = {"name": "a.txt", "content": content}
        assert await here.refusal("File.upload", botId=bot_id, dialogId="7", fields=fields) == code
    fields = {"name": "a.txt", "content": base64.b64encode(b"content").decode()}
    assert (await here.call("File.upload", botId=bot_id, dialogId="7", fields=fields))["file"]["size"] == 7


async def test_former_addresses_go_on_receiving_when_there_are_several_bots(here: Desk) -> None:
    webhook = {"eventMode": "webhook", "webhookUrl": "https://old.example/"}
    first = await here.register("first", **webhook)
    await here.call("Bot.update", botId=first, fields={"webhookUrl": "https://new.example/"})
    assert here.bots.bot("first").urls == ["https://new.example/"]
    await here.register("second")
    await here.call("Bot.update", botId=first, fields={"webhookUrl": "https://newer.example/"})
    assert here.bots.bot("first").urls == ["https://new.example/", "https://newer.example/"]
    here.bots.say("hello", bot="first")
    sent: list[AppRequest] = []

    async def send(request: AppRequest) -> AppResponse:
        sent.append(request)
        return AppResponse(status=200)

    assert [response.status for response in await here.bots.deliver(send)] == [200, 200]
    assert [request.url for request in sent] == ["https://new.example/", "https://newer.example/"]
    form: Any = read_form(sent[0].body, "The body")
    assert set(form["data"]["bot"]) == {"id", "code", "auth"}
    assert form["data"]["user"]["active"] == "1"
    assert form["data"]["user"]["idle"] == "0"
    assert "access_token" not in form["auth"]
    assert form["data"]["bot"]["auth"]["user_id"] == f"{first}"


async def test_more_than_the_rate_is_answered_429() -> None:
    portal = fake_portal()
    bots = FakeBots(portal, rate=2)
    params = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=10, drain_rate=10), max_retries=1)
    async with connected(portal, restriction_params=params) as b24:
        for _ in range(2):
            await b24.call("imbot.v2.Revision.get")
        with pytest.raises(AjaxError) as caught:
            await b24.call("imbot.v2.Revision.get")
        assert caught.value.status == 429
        assert bots.refused == 1


async def test_a_name_that_is_not_there_is_named(here: Desk) -> None:
    with pytest.raises(KeyError, match="registered are none"):
        here.bots.say("hello")
    await here.register("first")
    await here.register("second")
    with pytest.raises(KeyError, match="first, second"):
        here.bots.say("hello")
    message = here.bots.say("hello", bot="first")
    with pytest.raises(KeyError, match="no button Go"):
        here.bots.press(message, "Go")
