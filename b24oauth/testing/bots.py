"""`FakeBots`: the fake portal plays `imbot.v2`, and tests play the users who chat with a bot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs

from b24oauth.shapes import is_mapping
from b24oauth.testing.applications import event_body
from b24oauth.testing.bot_chats import FIRST_EVENT, ChatMessage, Chats, FakeBot, RestrictedRate
from b24oauth.testing.bot_methods import BotMethods
from b24oauth.testing.installed import AppRequest, AppResponse, Sender, post
from b24oauth.testing.messages import RestError
from b24oauth.testing.portal import FakePortal

__all__ = ["ChatMessage", "FakeBot", "FakeBots", "PostedEvent"]


@attrs.frozen
class PostedEvent:
    """An event that the portal posts.

    Attributes:
        url: Where to.
        body: The form.
        dialog_id: The dialog that it is about; empty without one.
    """

    url: str
    body: bytes = attrs.field(repr=False)
    dialog_id: str


class FakeBots:
    """Chat bots of a fake portal: ``bots = FakeBots(portal)``.

    From then on the portal has the methods of `imbot.v2`. What users do becomes events: fetched ones, or those in
    `outbox`, which are to be posted.

    Args:
        portal: The portal.
        rate: Requests of `imbot.v2` within a second; more are answered 429. None for no limit.
        first_event: Number of the first event of each bot. Events of a portal that is started again must have later
            numbers than those of the run before, as on Bitrix24.
        null_as_text: Whether posted events have an empty text for null, as documented, or nothing, as PHP writes it.

    Attributes:
        outbox: Events that are to be posted, in order.
        foreign_codes: Codes of bots that belong to another application.
    """

    def __init__(
        self,
        portal: FakePortal,
        *,
        rate: int | None = None,
        null_as_text: bool = False,
        first_event: int = FIRST_EVENT,
    ) -> None:
        self._portal = portal
        self._null_as_text = null_as_text
        self._chats = Chats(portal.clock.now, first_event)
        methods = BotMethods(self._chats, portal.files)
        self._rate = RestrictedRate(rate, portal.clock.now)
        self.foreign_codes = methods.foreign_codes
        self.outbox: list[PostedEvent] = []
        for name, handler in methods.table().items():
            portal.method(f"imbot.v2.{name}", partial(self._limited, handler))

    def _limited(self, handler: Callable[[dict[str, Any]], Any], params: dict[str, Any]) -> Any:
        if not self._rate.admits():
            raise RestError("TOO_MANY_REQUESTS", "Too many requests", status=429)
        return handler(params)

    # --- what is there ------------------------------------------------------------------------------------------------

    @property
    def refused(self) -> int:
        """How many requests were answered 429."""
        return self._rate.refused

    @property
    def typing(self) -> list[tuple[str, str, int]]:
        """Dialog, code and duration in seconds of each typing indicator that was shown."""
        return self._chats.typing

    def bot(self, code: str | None = None) -> FakeBot:
        """A registered bot: the one with a code, or the only one.

        Raises:
            KeyError: There is no such bot, or there are several.
        """
        found = [bot for bot in self._chats.bots.values() if code in (None, bot.code)]
        if len(found) != 1:
            known = ", ".join(bot.code for bot in self._chats.bots.values()) or "none"
            raise KeyError(f"bot: name the code of one bot; registered are {known}")
        return found[0]

    def messages(self, dialog_id: str) -> list[ChatMessage]:
        """The messages of a dialog that are not deleted, in order."""
        return [one for one in self._chats.messages.values() if one.dialog_id == dialog_id and not one.is_deleted]

    def answers(self, dialog_id: str) -> list[str]:
        """The texts of a bot's messages in a dialog, in order."""
        return [message.text for message in self.messages(dialog_id) if message.is_of_bot]

    # --- what users do ------------------------------------------------------------------------------------------------

    def say(
        self,
        text: str,
        *,
        user_id: int = 7,
        dialog_id: str | None = None,
        bot: str | None = None,
        files: Mapping[str, bytes] | None = None,
        is_bot: bool = False,
    ) -> int:
        """A user writes to a bot.

        In a group chat an ordinary bot hears only what mentions it: ``[USER=456]Echo[/USER]``.

        Args:
            text: The text.
            user_id: The user.
            dialog_id: A group chat, such as ``chat5``; None for the private chat.
            bot: Code of the bot; None for the only one.
            files: Files in the message.
            is_bot: Whether the user is a bot too.

        Returns:
            The message's ID.
        """
        to = self.bot(bot)
        ids = [self._portal.files.add(name, content) for name, content in (files or {}).items()]
        message = self._chats.write(to, dialog_id or str(user_id), user_id, text, files=ids)
        mentioned = f"[user={to.id}]" in text.lower()
        if dialog_id is None or (dialog_id in to.chats and (mentioned or to.hears_everything)):
            self._tell(to, "MESSAGEADD", message, user_id, is_bot=is_bot, message=True)
        return message.id

    def edit(self, message_id: int, text: str) -> None:
        """A user changes a message."""
        message = self._chats.messages[message_id]
        message.text = text
        self._tell(self._chats.bots[message.bot_id], "MESSAGEUPDATE", message, message.author_id, message=True)

    def delete(self, message_id: int) -> None:
        """A user deletes a message."""
        message = self._chats.messages[message_id]
        message.is_deleted = True
        bot = self._chats.bots[message.bot_id]
        self._tell(bot, "MESSAGEDELETE", message, message.author_id, data={"messageId": message_id})

    def react(self, message_id: int, reaction: str, *, user_id: int = 7, removes: bool = False) -> None:
        """A user reacts to a message."""
        message = self._chats.messages[message_id]
        data = {"reaction": reaction, "action": "delete" if removes else "add"}
        self._tell(self._chats.bots[message.bot_id], "REACTIONCHANGE", message, user_id, data=data, message=True)

    def command(
        self,
        name: str,
        params: str = "",
        *,
        user_id: int = 7,
        dialog_id: str | None = None,
        bot: str | None = None,
        origin: str = "textarea",
    ) -> int:
        """A user calls a command; the ID of the message with it.

        Raises:
            KeyError: The bot has no such command, or it may not be called in this chat.
        """
        to = self.bot(bot)
        command = to.commands[name]
        if dialog_id is not None and dialog_id not in to.chats and not command.common:
            raise KeyError(f"command: {name} is not common, and the bot is not in {dialog_id}")
        message = self._chats.write(to, dialog_id or str(user_id), user_id, f"/{name} {params}".strip())
        data = {"command": {"id": command.id, "command": f"/{name}", "params": params, "context": origin}}
        self._tell(to, "COMMANDADD", message, user_id, data=data, message=True)
        return message.id

    def press(self, message_id: int, text: str, *, user_id: int = 7) -> None:
        """A user presses the button with a text below a message.

        Raises:
            KeyError: There is no such button, or it calls no command of a bot.
        """
        message = self._chats.messages[message_id]
        button = next((one for one in message.keyboard if one.get("TEXT") == text), None)
        if button is None:
            raise KeyError(f"press: no button {text} below the message")
        bot = self._chats.bots[button["BOT_ID"]]
        dialog = None if message.dialog_id.isdecimal() else message.dialog_id
        params = str(button.get("COMMAND_PARAMS", ""))
        self.command(button["COMMAND"], params, user_id=user_id, dialog_id=dialog, bot=bot.code, origin="keyboard")

    def invite(self, dialog_id: str, *, user_id: int = 7, bot: str | None = None) -> None:
        """A user adds a bot to a group chat, or opens the private chat."""
        to = self.bot(bot)
        if not dialog_id.isdecimal():
            to.chats.add(dialog_id)
        self._event(to, "JOINCHAT", dialog_id, user_id, {"dialogId": dialog_id})

    def open_context(self, context: Mapping[str, Any], *, user_id: int = 7, bot: str | None = None) -> None:
        """A user opens the private chat through a link with data."""
        dialog = str(user_id)
        self._event(self.bot(bot), "CONTEXTGET", dialog, user_id, {"dialogId": dialog, "context": dict(context)})

    def remove(self, bot: str | None = None) -> None:
        """An administrator removes a bot."""
        to = self.bot(bot)
        self._event(to, "DELETE", "", 0, {})

    # --- events -------------------------------------------------------------------------------------------------------

    async def deliver(self, send: Sender = post) -> list[AppResponse]:
        """Posts the events in `outbox`, one after another; an event that is not answered is lost.

        Args:
            send: Sends a request; by default over HTTP.

        Returns:
            The responses.
        """
        events, self.outbox = self.outbox, []
        return [await send(AppRequest(url=event.url, body=event.body)) for event in events]

    def _tell(
        self,
        bot: FakeBot,
        kind: str,
        about: ChatMessage,
        user_id: int,
        *,
        data: Mapping[str, Any] | None = None,
        message: bool = False,
        is_bot: bool = False,
    ) -> None:
        shown = {"message": about.shown(_chat_id(about.dialog_id))} if message else {}
        self._event(bot, kind, about.dialog_id, user_id, {**(data or {}), **shown}, is_bot=is_bot)

    def _event(
        self, bot: FakeBot, kind: str, dialog_id: str, user_id: int, data: Mapping[str, Any], *, is_bot: bool = False
    ) -> None:
        name = f"ONIMBOTV2{kind}"
        about: dict[str, Any] = {}
        if user_id:
            about = {"chat": _chat(dialog_id), "user": _user(user_id, is_bot=is_bot), "language": "en"}
        if bot.is_fetched:
            bot.last_event += 1
            row = {"eventId": bot.last_event, "type": name, "date": "2026-11-27T10:00:00+03:00"}
            bot.queue.append({**row, "data": {"bot": bot.shown(), **data, **about}})
        for url in bot.urls:
            self.outbox.append(PostedEvent(url, self._body(bot, name, {**data, **about}), dialog_id))

    def _body(self, bot: FakeBot, name: str, data: Mapping[str, Any]) -> bytes:
        own = self._portal.issue(bot.id).to_dict() | {"user_id": bot.id}
        content = {"bot": {"id": bot.id, "code": bot.code, "auth": own}, **data}
        if self._null_as_text:
            content = _without_null(content)
        return event_body(self._portal, name, content, with_tokens=False)


def _chat_id(dialog_id: str) -> int:
    return int(dialog_id.removeprefix("chat")) if not dialog_id.isdecimal() else 1000 + int(dialog_id)


def _chat(dialog_id: str) -> dict[str, Any]:
    is_private = dialog_id.isdecimal()
    return {
        "id": _chat_id(dialog_id),
        "dialogId": dialog_id,
        "type": "private" if is_private else "chat",
        "name": "" if is_private else f"Chat {dialog_id}",
        "entityType": "",
        "entityId": "",
        "owner": 1,
        "avatar": "",
        "color": "#ab7761",
        "diskFolderId": None,
    }


def _user(user_id: int, *, is_bot: bool) -> dict[str, Any]:
    return {
        "id": user_id,
        "active": True,
        "name": f"User {user_id}",
        "firstName": "User",
        "lastName": str(user_id),
        "workPosition": "",
        "color": "#df532d",
        "avatar": "",
        "gender": "F",
        "birthday": "",
        "extranet": False,
        "bot": is_bot,
        "connector": False,
        "externalAuthId": "bot" if is_bot else "default",
        "status": "online",
        "idle": False,
        "lastActivityDate": False,
        "absent": False,
        "departments": [1, 4],
        "phones": False,
        "type": "bot" if is_bot else "employee",
    }


def _without_null(value: Any) -> Any:
    if is_mapping(value):
        return {name: _without_null(part) for name, part in value.items()}
    return "" if value is None else value
