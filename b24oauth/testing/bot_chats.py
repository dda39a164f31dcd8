"""What the fake portal knows of bots: bots, chats, messages, and the events of each bot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import attrs

__all__ = ["FIRST_EVENT", "ChatMessage", "Chats", "FakeBot", "FakeCommand", "RestrictedRate"]

_FIRST_BOT: Final = 456
FIRST_EVENT: Final = 1001
_FIRST_MESSAGE: Final = 790
MAX_TEXT: Final = 20_000


@attrs.define(eq=False, kw_only=True)
class FakeCommand:
    """A command of a bot, as it was registered."""

    id: int
    name: str
    title: Mapping[str, str]
    params: Mapping[str, str]
    common: bool
    hidden: bool
    extranet: bool


@attrs.define(eq=False, kw_only=True)
class FakeBot:
    """A registered bot.

    Attributes:
        id: Its ID, that of a user.
        fields: As they were registered or updated, `properties` apart.
        properties: Name and the like.
        commands: By name.
        chats: The group chats that it is in.
        urls: Where its events are posted to; old ones stay when there are several bots.
        queue: Events that are not acknowledged.
        last_event: The number of the last event.
    """

    id: int
    fields: dict[str, Any]
    properties: dict[str, Any]
    commands: dict[str, FakeCommand] = attrs.field(factory=dict[str, FakeCommand])
    chats: set[str] = attrs.field(factory=set[str])
    urls: list[str] = attrs.field(factory=list[str])
    queue: list[dict[str, Any]] = attrs.field(factory=list[dict[str, Any]])
    last_event: int = FIRST_EVENT - 1

    @property
    def code(self) -> str:
        """Its code."""
        return str(self.fields["code"])

    @property
    def is_fetched(self) -> bool:
        """Whether its events are fetched."""
        return bool(self.fields["eventMode"] == "fetch")

    @property
    def hears_everything(self) -> bool:
        """Whether it hears all messages of its chats."""
        return self.fields["type"] in ("personal", "supervisor")

    def shown(self) -> dict[str, Any]:
        """The bot as its owner sees it."""
        shown = {
            name: self.fields[name]
            for name in (
                "code",
                "type",
                "isHidden",
                "isSupportOpenline",
                "isReactionsEnabled",
                "backgroundId",
                "eventMode",
            )
        }
        counts = {"countMessage": 0, "countCommand": len(self.commands), "countChat": len(self.chats), "countUser": 0}
        return {"id": self.id, **shown, "language": "en", "moduleId": "rest", **counts}

    def user(self) -> dict[str, Any]:
        """The bot as a user. The portal chooses the color, and has an address for the picture."""
        name = f"{self.properties.get('name', '')} {self.properties.get('lastName', '')}".strip()
        return {
            "id": self.id,
            "active": True,
            "name": name,
            "firstName": self.properties.get("name", ""),
            "lastName": self.properties.get("lastName", ""),
            "workPosition": self.properties.get("workPosition", ""),
            "color": "#df532d",
            "avatar": "/avatar.png" if self.properties.get("avatar") else "",
            "gender": self.properties.get("gender", "M"),
            "bot": True,
            "type": "bot",
        }


@attrs.define(eq=False, kw_only=True)
class ChatMessage:
    """A message in a dialog with a bot.

    Attributes:
        id: Its ID.
        bot_id: The bot of the dialog.
        dialog_id: The dialog, as the bot names it.
        author_id: Who wrote it; 0 for a system message.
        text: Its text.
        sent_at: Unix timestamp in seconds.
        keyboard: The buttons below it.
        attach: The blocks in it.
        reply_to: The message that it answers.
        files: IDs of its files.
        reactions: Those of the bot.
        changes: How often it was changed.
        is_deleted: Whether it was deleted.
    """

    id: int
    bot_id: int
    dialog_id: str
    author_id: int
    text: str
    sent_at: float
    keyboard: list[dict[str, Any]] = attrs.field(factory=list[dict[str, Any]])
    attach: list[Any] = attrs.field(factory=list[Any])
    reply_to: int | None = None
    files: list[int] = attrs.field(factory=list[int])
    reactions: set[str] = attrs.field(factory=set[str])
    changes: int = 0
    is_deleted: bool = False

    @property
    def is_of_bot(self) -> bool:
        """Whether the bot wrote it."""
        return self.author_id in (0, self.bot_id)

    def shown(self, chat_id: int) -> dict[str, Any]:
        """The message as events have it. PHP writes an empty map as a list."""
        date = datetime.fromtimestamp(int(self.sent_at), UTC).isoformat()
        params: Any = {"FILE_ID": list(self.files)} if self.files else []
        return {
            "id": self.id,
            "chatId": chat_id,
            "authorId": self.author_id,
            "date": date,
            "text": self.text,
            "isSystem": self.author_id == 0,
            "uuid": "",
            "forward": None,
            "params": params,
            "viewedByOthers": False,
        }


@attrs.define(eq=False)
class Chats:
    """All bots and messages.

    Attributes:
        now: The Unix time, seconds.
        bots: By ID.
        messages: By ID.
        typing: Dialog, code and duration of each indicator that was shown.
        first_event: Number of the first event of each bot.
    """

    now: Callable[[], float]
    first_event: int = FIRST_EVENT
    bots: dict[int, FakeBot] = attrs.field(init=False, factory=dict[int, FakeBot])
    messages: dict[int, ChatMessage] = attrs.field(init=False, factory=dict[int, ChatMessage])
    typing: list[tuple[str, str, int]] = attrs.field(init=False, factory=list[tuple[str, str, int]])
    _numbers: dict[str, int] = attrs.field(init=False, factory=dict[str, int])

    def number(self, kind: str, first: int = 1) -> int:
        """The next number of a kind."""
        self._numbers[kind] = self._numbers.get(kind, first - 1) + 1
        return self._numbers[kind]

    def add_bot(self, fields: dict[str, Any], properties: dict[str, Any]) -> FakeBot:
        """Registers a bot."""
        bot = FakeBot(id=self.number("bot", _FIRST_BOT), fields=fields, properties=properties)
        bot.last_event = self.first_event - 1
        self.bots[bot.id] = bot
        return bot

    def bot_of(self, code: object) -> FakeBot | None:
        """The bot with a code."""
        return next((bot for bot in self.bots.values() if bot.code == code), None)

    def write(self, bot: FakeBot, dialog_id: str, author_id: int, text: str, **more: Any) -> ChatMessage:
        """Adds a message to a dialog; a long text is cut, as the portal does."""
        message = ChatMessage(
            id=self.number("message", _FIRST_MESSAGE),
            bot_id=bot.id,
            dialog_id=dialog_id,
            author_id=author_id,
            text=cut(text),
            sent_at=self.now(),
            **more,
        )
        self.messages[message.id] = message
        return message


def cut(text: str) -> str:
    """The text as the portal keeps it."""
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]} (...)"


@attrs.define(eq=False)
class RestrictedRate:
    """Refuses more than so many requests within any second.

    Attributes:
        most: Requests a second; None for no limit.
        now: The Unix time, seconds.
        refused: How many were refused.
    """

    most: int | None
    now: Callable[[], float]
    refused: int = attrs.field(init=False, default=0)
    _times: list[float] = attrs.field(init=False, factory=list[float])

    def admits(self) -> bool:
        """Counts a request; False if it is one too many."""
        now = self.now()
        self._times = [time for time in self._times if now - time < 1.0]
        if self.most is not None and len(self._times) >= self.most:
            self.refused += 1
            return False
        self._times.append(now)
        return True
