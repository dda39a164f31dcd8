"""What happens to a bot, as objects that handlers get."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping, Sequence
from datetime import datetime
from os import PathLike
from typing import TYPE_CHECKING, Any

import attrs

from b24oauth.bots.indicator import Typing
from b24oauth.bots.talking import Sent, Talk
from b24oauth.client import B24OAuth

if TYPE_CHECKING:
    from b24oauth.bots.keyboards import Keyboard
    from b24oauth.bots.uploading import Source
    from b24oauth.downloads import Download, Writable

__all__ = [
    "Attachment",
    "BotRemoved",
    "Chat",
    "Command",
    "ContextOpened",
    "Joined",
    "Message",
    "MessageChanged",
    "MessageDeleted",
    "Reaction",
    "Update",
    "User",
]


@attrs.frozen(kw_only=True)
class User:
    """A user of the portal.

    Attributes:
        id: The user's ID.
        name: Full name.
        first_name: First name.
        last_name: Last name.
        work_position: Position in the company.
        type: ``employee``, ``extranet``, ``email``, ``collaber`` or ``bot``.
        is_bot: Whether it is a bot.
        is_extranet: Whether it is a user from outside of the company.
    """

    id: int
    name: str = ""
    first_name: str = ""
    last_name: str = ""
    work_position: str = ""
    type: str = ""
    is_bot: bool = False
    is_extranet: bool = False


@attrs.frozen(kw_only=True)
class Chat:
    """A chat.

    Attributes:
        id: Its ID.
        dialog_id: ``chat5``, or the other user's ID in a private chat.
        type: ``chat``, ``open``, ``private`` and others.
        name: Its title; empty for a private chat.
        owner_id: The user who owns it; 0 if unknown.
        entity_type: Kind of object that it belongs to, such as ``LINES``; empty without one.
        entity_id: That object.
    """

    id: int
    dialog_id: str
    type: str = ""
    name: str = ""
    owner_id: int = 0
    entity_type: str = ""
    entity_id: str = ""


@attrs.frozen(kw_only=True)
class Attachment:
    """A file of a message.

    Attributes:
        id: The file's ID.
        name: Its name; empty if the event does not tell.
    """

    id: int
    name: str = ""
    talk: Talk = attrs.field(eq=False, repr=False)

    async def download(
        self, to: str | PathLike[str] | Writable, *, max_bytes: int | None = None, timeout: float | None = None
    ) -> Download:
        """Downloads the file. The address is good once, so a broken download is not resumed.

        Args:
            to: Path of a file, or an object with a method `write(bytes)`.
            max_bytes: Maximum size, bytes; None for that of `B24OAuth.download`.
            timeout: Total time, seconds; None for no limit.

        Raises:
            AjaxError: The download failed.
        """
        return await self.talk.download(self.id, to, max_bytes=max_bytes, timeout=timeout)


@attrs.frozen(kw_only=True)
class Update:
    """Something that happened to a bot; the base of all that handlers get.

    Attributes:
        bot_id: The bot's ID on the portal.
        bot_code: The bot's code.
        dialog_id: Where it happened, and where answers go: ``chat5``, or the user's ID in a private chat.
        chat: The chat; None if the event has none.
        user: Who did it; None if the event does not tell.
        language: The portal's language.
        talk: Sends and receives in the name of the bot.

    Source: https://apidocs.bitrix24.com/api-reference/chat-bots/chat-bots-v2/imbot.v2/events/events.html
    """

    bot_id: int
    bot_code: str
    dialog_id: str = ""
    chat: Chat | None = None
    user: User | None = None
    language: str = ""
    talk: Talk = attrs.field(eq=False, repr=False)

    @property
    def b24(self) -> B24OAuth:
        """The client of the portal."""
        return self.talk.b24

    @property
    def _answered(self) -> tuple[int, int] | None:
        """The command and its message, if this is one."""
        return None

    async def answer(
        self,
        text: str = "",
        *,
        keyboard: Keyboard | None = None,
        files: Sequence[Source] = (),
        attach: Sequence[Mapping[str, Any]] | None = None,
        url_preview: bool = True,
        quote: int | None = None,
    ) -> Sent:
        """Sends a message to the dialog.

        Args:
            text: Its text, with BB codes. A long text is sent as several messages of at most 20,000 characters.
            keyboard: Buttons below it; those of the last message if there are several.
            files: Files of at most 100 MB each, sent behind the text: a path, a `File` with the bytes, or an `Upload`
                with an async iterator of bytes.
            attach: Blocks as Bitrix24 documents them.
            url_preview: Whether links are shown with a preview.
            quote: ID of the message that it answers, for example ``message.id``.

        Returns:
            What was sent; it can be changed later.

        Raises:
            InvalidParamsError: There is nothing to send, or a file is too large; nothing was sent.
            AjaxError: The portal refuses the message, for example because the bot is not in the chat.
        """
        return await self.talk.send(
            self.dialog_id,
            text,
            keyboard=keyboard,
            files=files,
            attach=attach,
            url_preview=url_preview,
            quote=quote,
            answered=self._answered,
        )

    async def stream(self, chunks: AsyncIterable[str], *, every: float = 2.0, keyboard: Keyboard | None = None) -> Sent:
        """Sends a text while it is being made, for example by a language model: the message grows.

        Args:
            chunks: The pieces of the text.
            every: Seconds between two changes of the message; Bitrix24 allows two requests a second.
            keyboard: Buttons below the finished message.

        Raises:
            InvalidParamsError: The text is blank.
            AjaxError: The portal refuses the message.
        """
        return await self.talk.stream(self.dialog_id, chunks, every=every, keyboard=keyboard, answered=self._answered)

    def typing(self, status: str | None = None) -> Typing:
        """Shows that the bot is writing, as long as the block lasts: ``async with message.typing():``.

        Args:
            status: What it does instead, such as ``IMBOT_AGENT_ACTION_THINKING``.

        Source: https://apidocs.bitrix24.com/api-reference/chat-bots/chat-bots-v2/imbot.v2/ui/index.html
        """
        return Typing(self.talk, self.dialog_id, status)


@attrs.frozen(kw_only=True)
class Message(Update):
    """A message to the bot.

    Attributes:
        id: The message's ID.
        author_id: Who wrote it; 0 for system messages.
        text: Its text, with BB codes.
        sent_at: When it was written; None if unknown.
        is_system: Whether it is a system message.
        files: The files in it.
        params: Further parameters, such as ``KEYBOARD``; all values are texts, and empty ones are left out.
    """

    id: int
    author_id: int = 0
    text: str = ""
    sent_at: datetime | None = None
    is_system: bool = False
    files: tuple[Attachment, ...] = ()
    params: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False)

    async def react(self, reaction: str) -> None:
        """Adds a reaction of the bot to the message.

        Args:
            reaction: Its code, such as ``like``.

        Raises:
            AjaxError: There is no such reaction, or it is set already.
        """
        await self.talk.react(self.id, reaction)

    async def unreact(self, reaction: str) -> None:
        """Removes a reaction of the bot from the message.

        Args:
            reaction: Its code, such as ``like``.

        Raises:
            AjaxError: It is not set.
        """
        await self.talk.unreact(self.id, reaction)


@attrs.frozen(kw_only=True)
class MessageChanged(Message):
    """A message was edited; `text` is the new text."""


@attrs.frozen(kw_only=True)
class MessageDeleted(Update):
    """A message was deleted.

    Attributes:
        id: The message's ID.
    """

    id: int


@attrs.frozen(kw_only=True)
class Joined(Update):
    """The bot was added to a chat, or somebody has opened a private chat with it."""


@attrs.frozen(kw_only=True)
class Command(Update):
    """A command was called. Its answers reach also a chat that the bot is not in; files do not.

    The portal does not tell the IDs of these answers, so they cannot be changed later.

    Attributes:
        id: The command's ID on the portal.
        name: The command without a slash.
        params: The text behind it.
        origin: ``textarea``, ``keyboard`` or ``menu``.
        message: The message with the command.
    """

    id: int
    name: str
    params: str = ""
    origin: str = ""
    message: Message

    @property
    def _answered(self) -> tuple[int, int] | None:
        return self.id, self.message.id


@attrs.frozen(kw_only=True)
class Reaction(Update):
    """A reaction was added to a message or removed from it.

    Attributes:
        reaction: Its code, such as ``like``.
        is_added: False if it was removed.
        message: The message.
    """

    reaction: str
    is_added: bool
    message: Message


@attrs.frozen(kw_only=True)
class ContextOpened(Update):
    """A user has opened the chat through a link that carries data.

    Anybody can make such a link, and a page that the user looks at can open it without being seen. So never act on
    `context` at once: show the user what would be done and who asks for it, and do it when the user confirms, for
    example by a button with a command. `user` is genuine.

    Attributes:
        context: The data of the link, unverified; all values are texts, and empty ones are left out.

    Source: https://apidocs.bitrix24.com/api-reference/chat-bots/chat-bots-v2/imbot.v2/bot-context.html
    """

    context: Mapping[str, Any]


@attrs.frozen(kw_only=True)
class BotRemoved(Update):
    """The bot was removed from the portal: its last event."""
