"""The methods of `imbot.v2` of the fake portal."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from b24oauth.shapes import as_mapping, is_list, is_mapping, whole_number
from b24oauth.testing.bot_chats import ChatMessage, Chats, FakeBot, FakeCommand, cut
from b24oauth.testing.files import FileStore
from b24oauth.testing.messages import Call, RestError

__all__ = ["BotMethods"]

_TYPES: Final = ("bot", "personal", "supervisor", "openline")
_FLAGS: Final = {"isHidden": False, "isReactionsEnabled": True, "isSupportOpenline": False}
_BACKGROUNDS: Final = ("azure", "mint", "steel", "slate", "teal", "cornflower", "sky", "peach", "frost")
_REACTIONS: Final = frozenset({"like", "dislike", "redHeart", "fire", "laugh", "wonder", "eyes", "whiteHeavyCheckMark"})
_MAX_FILE: Final = 100 * 1024 * 1024
_MOST_BOTS: Final = 100

Params = Mapping[str, Any]


class BotMethods:
    """Answers calls of `imbot.v2`.

    Args:
        chats: What there is.
        files: The portal's files.
    """

    def __init__(self, chats: Chats, files: FileStore) -> None:
        self._chats, self._files = chats, files
        self.foreign_codes = set[str]()

    def table(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        """The handlers by method."""
        return {
            "Bot.register": self._register,
            "Bot.update": self._update,
            "Bot.get": lambda params: self._bot_shown(self._bot(params)),
            "Bot.list": lambda _: {"bots": [bot.shown() for bot in self._chats.bots.values()]},
            "Bot.unregister": self._unregister,
            "Command.register": self._register_command,
            "Command.update": self._update_command,
            "Command.list": self._list_commands,
            "Command.answer": self._answer_command,
            "Chat.Message.send": self._send,
            "Chat.Message.update": self._change,
            "Chat.Message.delete": self._delete,
            "Chat.Message.Reaction.add": self._react,
            "Chat.Message.Reaction.delete": self._unreact,
            "Chat.InputAction.notify": self._notify,
            "Event.get": self._events,
            "File.upload": self._upload,
            "File.download": self._download,
            "Revision.get": lambda _: {"rest": 38, "web": 120, "mobile": 19, "desktop": 5},
        }

    # --- bots ---------------------------------------------------------------------------------------------------------

    def _bot(self, params: Params) -> FakeBot:
        bot_id = whole_number(params.get("botId"))
        if bot_id is None:
            raise RestError("BOT_ID_REQUIRED", "Bot ID is required")
        bot = self._chats.bots.get(bot_id)
        if bot is None:
            raise RestError("BOT_NOT_FOUND", "Bot not found")
        if bot.code in self.foreign_codes:
            raise RestError("BOT_OWNERSHIP_ERROR", "Bot is registered by another application", status=403)
        return bot

    def _bot_shown(self, bot: FakeBot) -> dict[str, Any]:
        return {"bot": bot.shown(), "users": [bot.user()]}

    def _register(self, params: Params) -> Any:
        fields = as_mapping(params.get("fields"))
        code = fields.get("code")
        if not isinstance(code, str) or not code:
            raise RestError("BOT_CODE_REQUIRED", "Bot code is required")
        if code in self.foreign_codes:
            raise RestError("BOT_CODE_ALREADY_TAKEN", "Bot code is already taken")
        known = self._chats.bot_of(code)
        if known is not None:
            return self._bot_shown(known)  # nothing is changed
        properties = as_mapping(fields.get("properties"))
        if not properties.get("name"):
            raise RestError("BOT_PROPERTIES_REQUIRED", "Bot properties are required")
        if len(self._chats.bots) >= _MOST_BOTS:
            raise RestError("BOT_LIMIT_EXCEEDED", "Bot limit exceeded")
        kind, mode = fields.get("type", "bot"), _mode(fields.get("eventMode", "fetch"))
        if kind not in _TYPES:
            raise RestError("BOT_INVALID_TYPE", "Invalid bot type")
        stored = {
            "code": code,
            "type": kind,
            "eventMode": mode,
            "backgroundId": _background(fields.get("backgroundId")),
        }
        stored |= {name: bool(fields.get(name, default)) for name, default in _FLAGS.items()}
        urls = [_url(fields.get("webhookUrl"))] if mode == "webhook" else []
        bot = self._chats.add_bot(stored, dict(properties))
        bot.urls = urls
        return self._bot_shown(bot)

    def _update(self, params: Params) -> Any:
        bot, fields = self._bot(params), as_mapping(params.get("fields"))
        mode = _mode(fields.get("eventMode", bot.fields["eventMode"]))
        if mode == "webhook" and ("webhookUrl" in fields or not bot.urls):
            url = _url(fields.get("webhookUrl"))
            # With several bots the portal cleans up nothing, for fear of touching the other ones.
            kept = bot.urls if len(self._chats.bots) > 1 else []
            bot.urls = [*(one for one in kept if one != url), url]
        elif mode == "fetch" and len(self._chats.bots) == 1:
            bot.urls = []
        bot.fields["eventMode"] = mode
        bot.fields |= {name: bool(fields[name]) for name in _FLAGS if name in fields}
        if "backgroundId" in fields:
            bot.fields["backgroundId"] = _background(fields["backgroundId"])
        bot.properties |= as_mapping(fields.get("properties"))
        return self._bot_shown(bot)

    def _unregister(self, params: Params) -> Any:
        del self._chats.bots[self._bot(params).id]
        return {"result": True}

    # --- commands -----------------------------------------------------------------------------------------------------

    def _register_command(self, params: Params) -> Any:
        # The flat form of this method has ended.
        bot, fields = self._bot(params), as_mapping(params.get("fields"))
        name = fields.get("command")
        if not name:
            raise RestError("COMMAND_REQUIRED", "Command is required")
        if not isinstance(name, str) or name.startswith("/"):
            raise RestError("COMMAND_NAME_INVALID", "Command name is invalid")
        if name not in bot.commands:
            if not fields.get("hidden") and not fields.get("title"):
                raise RestError("COMMAND_TITLE_REQUIRED", "Command title is required")
            bot.commands[name] = FakeCommand(
                id=self._chats.number("command", 42),
                name=name,
                title=dict(as_mapping(fields.get("title"))),
                params=dict(as_mapping(fields.get("params"))),
                common=bool(fields.get("common", False)),
                hidden=bool(fields.get("hidden", False)),
                extranet=bool(fields.get("extranetSupport", False)),
            )
        return {"command": _command_shown(bot, bot.commands[name])}

    def _command(self, bot: FakeBot, params: Params) -> FakeCommand:
        for command in bot.commands.values():
            if command.id == whole_number(params.get("commandId")):
                return command
        raise RestError("COMMAND_NOT_FOUND", "Command not found")

    def _update_command(self, params: Params) -> Any:
        bot = self._bot(params)
        command, fields = self._command(bot, params), as_mapping(params.get("fields"))
        if "title" in fields:
            command.title = {**command.title, **as_mapping(fields["title"])}
            command.params = {**command.params, **as_mapping(fields.get("params"))}
        command.common = bool(fields.get("common", command.common))
        command.hidden = bool(fields.get("hidden", command.hidden))
        command.extranet = bool(fields.get("extranetSupport", command.extranet))
        return {"command": _command_shown(bot, command)}

    def _list_commands(self, params: Params) -> Any:
        bot = self._bot(params)
        more = {"category": bot.user()["name"], "context": ""}
        rows = [
            _command_shown(bot, one) | {"title": one.title.get("en", ""), "params": one.params.get("en", "")} | more
            for one in bot.commands.values()
        ]
        return {"commands": rows}

    def _answer_command(self, params: Params) -> Any:
        bot = self._bot(params)
        self._command(bot, params)
        called = self._chats.messages.get(whole_number(params.get("messageId")) or 0)
        if called is None or called.bot_id != bot.id or called.dialog_id != params.get("dialogId"):
            raise RestError("COMMAND_ANSWER_FAILED", "Command answer failed")
        # In a chat that the bot is not in, it is a system message.
        self._write(bot, params, is_member=bot.id if _is_in(bot, called.dialog_id) else 0)
        return {"result": True}

    # --- messages -----------------------------------------------------------------------------------------------------

    def _dialog(self, bot: FakeBot, params: Params) -> str:
        dialog = str(params.get("dialogId", ""))
        if not _is_in(bot, dialog):
            raise RestError("ACCESS_DENIED", "Access denied", status=403)
        return dialog

    def _write(self, bot: FakeBot, params: Params, *, is_member: int) -> ChatMessage:
        fields = as_mapping(params.get("fields"))
        given: Any = fields.get("attach")
        text, attach = str(fields.get("message", "")), given if is_list(given) else []
        if not text.strip() and not attach:
            raise RestError("EMPTY_MESSAGE", "Message is empty")
        author = 0 if fields.get("system") in (True, "Y") else is_member
        return self._chats.write(
            bot,
            str(params["dialogId"]),
            author,
            text,
            keyboard=_buttons(fields.get("keyboard"), bot.id),
            attach=attach,
            reply_to=whole_number(fields.get("replyId")),
        )

    def _send(self, params: Params) -> Any:
        bot = self._bot(params)
        self._dialog(bot, params)
        return {"id": self._write(bot, params, is_member=bot.id).id, "uuidMap": []}

    def _own(self, params: Params) -> ChatMessage:
        bot = self._bot(params)
        message = self._chats.messages.get(whole_number(params.get("messageId")) or 0)
        # A system message has no author, so that it is not the bot's either.
        if message is None or message.is_deleted or message.author_id != bot.id:
            raise RestError("ACCESS_DENIED", "Access denied", status=403)
        return message

    def _change(self, params: Params) -> Any:
        message, fields = self._own(params), as_mapping(params.get("fields"))
        if "message" in fields:
            if not str(fields["message"]).strip():
                raise RestError("EMPTY_MESSAGE", "Message is empty")
            message.text = cut(str(fields["message"]))
        keyboard = fields.get("keyboard")
        if keyboard == "N":
            message.keyboard = []
        elif keyboard is not None:
            # Without BOT_ID the commands of the buttons reach no bot.
            owner = whole_number(as_mapping(keyboard).get("BOT_ID"))
            message.keyboard = [one for one in _buttons(keyboard, owner) if owner or "COMMAND" not in one]
        message.changes += 1
        return {"result": True}

    def _delete(self, params: Params) -> Any:
        self._own(params).is_deleted = True
        return {"result": True}

    def _reacted(self, params: Params) -> tuple[ChatMessage, str]:
        self._bot(params)
        message = self._chats.messages.get(whole_number(params.get("messageId")) or 0)
        if message is None:
            raise RestError("ACCESS_DENIED", "Access denied", status=403)
        if params.get("reaction") not in _REACTIONS:
            raise RestError("REACTION_NOT_FOUND", "Reaction not found")
        return message, str(params["reaction"])

    def _react(self, params: Params) -> Any:
        message, reaction = self._reacted(params)
        if reaction in message.reactions:
            raise RestError("REACTION_ALREADY_SET", "Reaction already set")
        message.reactions.add(reaction)
        return True

    def _unreact(self, params: Params) -> Any:
        message, reaction = self._reacted(params)
        if reaction not in message.reactions:
            raise RestError("REACTION_NOT_SET", "Reaction not set")
        message.reactions.remove(reaction)
        return True

    def _notify(self, params: Params) -> Any:
        dialog = self._dialog(self._bot(params), params)
        duration = whole_number(params.get("duration", 60))
        if duration is None or not 1 <= duration <= 600:
            raise RestError("INVALID_DURATION", "Duration must be from 1 to 600")
        self._chats.typing.append((dialog, str(params.get("statusMessageCode", "")), duration))
        return {"result": True}

    # --- events and files ---------------------------------------------------------------------------------------------

    def _events(self, params: Params) -> Any:
        bot = self._bot(params)
        if not bot.is_fetched:
            return {"events": [], "nextOffset": None, "hasMore": False}
        offset = whole_number(params.get("offset"))
        if offset is not None:
            bot.queue = [event for event in bot.queue if event["eventId"] >= offset]
        limit = min(1000, max(1, whole_number(params.get("limit", 100)) or 100))
        events = bot.queue[:limit]
        next_offset = events[-1]["eventId"] + 1 if events else offset
        return {"events": events, "nextOffset": next_offset, "hasMore": len(bot.queue) > limit}

    def _upload(self, params: Params) -> Any:
        bot, fields = self._bot(params), as_mapping(params.get("fields"))
        dialog = self._dialog(bot, params)
        name, text = str(fields.get("name", "")), fields.get("content")
        if not name or not text:
            raise RestError("FILE_EMPTY", "File name or content is empty")
        try:
            content = base64.b64decode(str(text), validate=True)
        except (binascii.Error, ValueError):
            raise RestError("FILE_INVALID_CONTENT", "Invalid base64 content") from None
        if len(content) > _MAX_FILE:
            raise RestError("FILE_TOO_LARGE", "File is too large")
        file_id = self._files.add(name, content)
        message = self._chats.write(bot, dialog, bot.id, str(fields.get("message", "")), files=[file_id])
        file = {"id": file_id, "chatId": 5, "name": name, "extension": name.rpartition(".")[2], "size": len(content)}
        return {"file": file, "messageId": message.id, "chatId": 5, "dialogId": dialog}

    def _download(self, params: Params) -> Any:
        self._bot(params)
        file = self._files.get(params.get("fileId"))
        if file is None:
            raise RestError("FILE_NOT_FOUND", "File not found")
        call = Call(method="imbot.v2.file.download", version="v2", params={}, user_id=1)
        address = self._files.link(file.file_id, "download", call)
        next(reversed(self._files.links.values())).is_for_one_use = True
        return {"downloadUrl": address}


def _mode(mode: object) -> str:
    if mode not in ("fetch", "webhook"):
        raise RestError("BOT_INVALID_EVENT_MODE", "Invalid event mode")
    return str(mode)


def _url(url: object) -> str:
    if not url:
        raise RestError("BOT_WEBHOOK_URL_REQUIRED", "Webhook URL is required")
    parts = urlsplit(str(url))
    if parts.scheme not in ("http", "https") or "." not in (parts.hostname or ""):
        raise RestError("BOT_INVALID_CALLBACK", "Invalid callback URL")
    return str(url)


def _background(value: object) -> object:
    return value if value in _BACKGROUNDS else None


def _is_in(bot: FakeBot, dialog: str) -> bool:
    return dialog.isdecimal() or dialog in bot.chats


def _buttons(keyboard: object, bot_id: int | None) -> list[dict[str, Any]]:
    """The buttons that the messenger shows: those with a text and an action, named in upper case."""
    rows = keyboard.get("BUTTONS") if is_mapping(keyboard) else keyboard
    shown: list[dict[str, Any]] = []
    for button in map(as_mapping, rows if is_list(rows) else []):
        acts = any(button.get(name) for name in ("LINK", "COMMAND", "ACTION", "APP_ID"))
        if button.get("TYPE") == "NEWLINE" or (button.get("TEXT") and acts):
            shown.append({**button, "BOT_ID": bot_id} if "COMMAND" in button else dict(button))
    return shown


def _command_shown(bot: FakeBot, command: FakeCommand) -> dict[str, Any]:
    return {
        "id": command.id,
        "botId": bot.id,
        "command": f"/{command.name}",
        "common": command.common,
        "hidden": command.hidden,
        "extranetSupport": command.extranet,
    }
