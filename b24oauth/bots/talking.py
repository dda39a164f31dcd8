"""What a bot does in dialogs: sends, changes and deletes messages, and transfers files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from os import PathLike
from typing import TYPE_CHECKING, Any, Final

import attrs

from b24oauth.bots.keyboards import Keyboard
from b24oauth.bots.splitting import MAX_TEXT, split_text
from b24oauth.bots.uploading import Source, check_sources, read_source
from b24oauth.checks import check_seconds
from b24oauth.client import B24OAuth
from b24oauth.errors import ClientStateError, InvalidDataError, InvalidParamsError
from b24oauth.shapes import as_mapping, whole_number
from b24oauth.wire import MAX_DOWNLOAD_SIZE

if TYPE_CHECKING:
    from b24oauth.downloads import Download, Writable

__all__ = ["Sent", "Talk"]

_METHODS: Final = "imbot.v2."


@attrs.frozen
class Sent:
    """What was sent: one message, or several for a long text and for files.

    Attributes:
        ids: IDs of the messages with text; none for the answer to a command.
        file_ids: IDs of the files that were sent, as the portal's drive knows them.
    """

    ids: tuple[int, ...]
    file_ids: tuple[int, ...]
    _talk: Talk = attrs.field(eq=False, repr=False)
    _dialog_id: str = attrs.field(eq=False, repr=False)

    @property
    def id(self) -> int:
        """ID of the last message with text.

        Raises:
            ClientStateError: The portal has told no ID: it was the answer to a command, or there was no text.
        """
        if not self.ids:
            raise ClientStateError("The portal tells no ID of an answer to a command, so it cannot be changed")
        return self.ids[-1]

    async def edit(self, text: str, *, keyboard: Keyboard | None = None) -> Sent:
        """Changes the last message. A text that is too long goes on in further messages.

        Args:
            text: The new text.
            keyboard: The new buttons; None removes them.

        Raises:
            InvalidParamsError: The text is blank.
            AjaxError: The portal refuses the change.
        """
        first, *others = _texts(text)
        await self._talk.edit(self.id, first, keyboard=None if others else keyboard)
        further: tuple[int, ...] = ()
        if others:
            rest = [await self._talk.post(self._dialog_id, other) for other in others[:-1]]
            rest.append(await self._talk.post(self._dialog_id, others[-1], keyboard=keyboard))
            further = tuple(one for one in rest if one is not None)
        return attrs.evolve(self, ids=(*self.ids, *further))

    async def delete(self) -> None:
        """Deletes the messages.

        Raises:
            AjaxError: The portal refuses it.
        """
        for message_id in self.ids:
            await self._talk.call("Chat.Message.delete", {"messageId": message_id})


@attrs.frozen
class Talk:
    """Speaks in the name of a bot on one portal.

    Attributes:
        b24: The client of the portal.
        bot_id: The bot.
    """

    b24: B24OAuth
    bot_id: int

    async def call(self, method: str, params: Mapping[str, Any], **options: Any) -> Any:
        """Calls a method of `imbot.v2` for the bot.

        Args:
            method: Its name without ``imbot.v2.``, for example ``Chat.get``.
            params: Its parameters; the bot's ID is added.
            options: See `CallOptions`.
        """
        return await self.b24.call(_METHODS + method, {"botId": self.bot_id, **params}, **options)

    async def send(
        self,
        dialog_id: str,
        text: str = "",
        *,
        keyboard: Keyboard | None = None,
        files: Sequence[Source] = (),
        attach: Sequence[Mapping[str, Any]] | None = None,
        url_preview: bool = True,
        quote: int | None = None,
        answered: tuple[int, int] | None = None,
    ) -> Sent:
        """Sends a message to a dialog; see `Message.answer`.

        Args:
            dialog_id: ``chat5``, or the ID of a user.
            text: The text.
            keyboard: Buttons below it.
            files: Files behind it.
            attach: Blocks as Bitrix24 documents them.
            url_preview: Whether links are shown with a preview.
            quote: ID of the message that it answers.
            answered: ID of the command that it answers, and of the message with it.

        Raises:
            InvalidParamsError: There is nothing to send, or a file is too large; nothing was sent.
            AjaxError: The portal refuses the message.
        """
        check_sources(files)
        parts = split_text(text)
        if not parts and (keyboard is not None or not (files or attach)):
            raise InvalidParamsError("A message needs a text, files or attach")
        if not parts and attach:
            parts = [""]
        # All are read before the first message is sent, so that a file that cannot be read leaves nothing half sent.
        loaded = [await read_source(source) for source in files]
        ids: list[int] = []
        for number, part in enumerate(parts):
            extra: dict[str, Any] = {}
            if not url_preview:
                extra["urlPreview"] = False
            if number == 0 and quote is not None:
                extra["replyId"] = quote
            is_last = number == len(parts) - 1
            if is_last and attach:
                extra["attach"] = list(attach)
            sent = await self.post(
                dialog_id, part, keyboard=keyboard if is_last else None, answered=answered, extra=extra
            )
            ids += [] if sent is None else [sent]
        file_ids: list[int] = []
        for file in loaded:
            fields = {"name": file.name, "content": file}
            result = await self.call("File.upload", {"dialogId": dialog_id, "fields": fields})
            file_ids.append(_number(as_mapping(as_mapping(result).get("file")).get("id"), "File.upload"))
        return Sent(tuple(ids), tuple(file_ids), self, dialog_id)

    async def post(
        self,
        dialog_id: str,
        text: str,
        *,
        keyboard: Keyboard | None = None,
        answered: tuple[int, int] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> int | None:
        """Sends one message; its ID, or None for the answer to a command.

        Args:
            dialog_id: The dialog.
            text: The text, not longer than a message.
            keyboard: Buttons below it.
            answered: ID of the command that it answers, and of the message with it.
            extra: Further fields.
        """
        fields: dict[str, Any] = dict(extra or {})
        if text:
            fields["message"] = text
        if keyboard is not None:
            fields["keyboard"] = keyboard.fields(self.bot_id)
        params: dict[str, Any] = {"dialogId": dialog_id, "fields": fields}
        if answered is not None:
            await self.call("Command.answer", {"commandId": answered[0], "messageId": answered[1], **params})
            return None
        result = await self.call("Chat.Message.send", params)
        return _number(as_mapping(result).get("id"), "Chat.Message.send")

    async def edit(self, message_id: int, text: str, *, keyboard: Keyboard | None = None) -> None:
        """Changes a message of the bot.

        Args:
            message_id: The message.
            text: The new text, not longer than a message.
            keyboard: The new buttons; None removes them.
        """
        buttons = "N" if keyboard is None else keyboard.fields(self.bot_id)
        fields = {"message": text, "keyboard": buttons}
        # Twice the same change is the same message.
        await self.call("Chat.Message.update", {"messageId": message_id, "fields": fields}, idempotent=True)

    async def stream(
        self,
        dialog_id: str,
        chunks: AsyncIterable[str],
        *,
        every: float,
        keyboard: Keyboard | None = None,
        answered: tuple[int, int] | None = None,
    ) -> Sent:
        """Sends a text while it is being made; see `Message.stream`."""
        check_seconds(every, "every")
        growing = _Growing(self, dialog_id, every)
        pieces: Any = chunks
        text = ""
        async with AsyncExitStack() as stack:
            if hasattr(pieces, "aclose"):
                # A generator that is left early is closed at once.
                await stack.enter_async_context(aclosing(pieces))
            async for piece in pieces:
                text += piece
                # The answer to a command cannot be changed, so it is sent when it is complete.
                if answered is None:
                    text = await growing.show(text)
        if growing.sent is None:
            return await self.send(dialog_id, text, keyboard=keyboard, answered=answered)
        return await growing.finish(text, keyboard)

    async def react(self, message_id: int, reaction: str) -> None:
        """Adds a reaction of the bot to a message."""
        await self.call("Chat.Message.Reaction.add", {"messageId": message_id, "reaction": reaction})

    async def unreact(self, message_id: int, reaction: str) -> None:
        """Removes a reaction of the bot from a message."""
        await self.call("Chat.Message.Reaction.delete", {"messageId": message_id, "reaction": reaction})

    async def download(
        self,
        file_id: int,
        to: str | PathLike[str] | Writable,
        *,
        max_bytes: int | None = None,
        timeout: float | None = None,
    ) -> Download:
        """Downloads a file of a chat; see `Attachment.download`."""
        result = as_mapping(await self.call("File.download", {"fileId": file_id}, idempotent=True))
        address = result.get("downloadUrl")
        if not isinstance(address, str) or not address:
            raise InvalidDataError("The response to imbot.v2.File.download", ["has no downloadUrl"])
        most = MAX_DOWNLOAD_SIZE if max_bytes is None else max_bytes
        return await self.b24.download(address, to, max_bytes=most, timeout=timeout)


@attrs.define(eq=False)
class _Growing:
    """A message that grows."""

    talk: Talk
    dialog_id: str
    every: float
    sent: Sent | None = None
    _shown: str = ""
    _next_at: float = 0.0

    async def show(self, text: str) -> str:
        """Shows a text if it is time; returns the text of the last message, which goes on."""
        loop = asyncio.get_running_loop()
        if not text.strip() or (self.sent is not None and loop.time() < self._next_at):
            return text
        if self.sent is None:
            self.sent = await self.talk.send(self.dialog_id, text)
        else:
            self.sent = await self.sent.edit(text)
        self._shown = split_text(text)[-1]
        self._next_at = loop.time() + self.every
        return text if len(text) <= MAX_TEXT else self._shown

    async def finish(self, text: str, keyboard: Keyboard | None) -> Sent:
        """Shows the whole text."""
        if self.sent is None:
            raise ClientStateError("Nothing was sent yet")
        if text != self._shown or keyboard is not None:
            self.sent = await self.sent.edit(text, keyboard=keyboard)
        return self.sent


def _texts(text: str) -> list[str]:
    parts = split_text(text)
    if not parts:
        raise InvalidParamsError("The text of a message must not be blank")
    return parts


def _number(value: object, method: str) -> int:
    number = whole_number(value)
    if number is None:
        raise InvalidDataError(f"The response to {_METHODS}{method}", ["has no ID"])
    return number
