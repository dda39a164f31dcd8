"""Reads events of bots: the same objects for fetched events and for those that a portal posts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from b24oauth.apps.fields import Fields
from b24oauth.bots.talking import Talk
from b24oauth.bots.updates import (
    Attachment,
    BotRemoved,
    Chat,
    Command,
    ContextOpened,
    Joined,
    Message,
    MessageChanged,
    MessageDeleted,
    Reaction,
    Update,
    User,
)
from b24oauth.errors import InvalidDataError
from b24oauth.shapes import as_mapping, is_mapping, is_sequence

__all__ = ["EVENT_NAMES", "read_update"]


def read_update(name: str, data: object, talk: Talk) -> Update:
    """The object of an event.

    Args:
        name: The event, for example ``ONIMBOTV2MESSAGEADD``.
        data: Its data: with real types as fetched, or as the texts that PHP posts.
        talk: What the object answers with.

    Raises:
        InvalidDataError: The event is unknown, or a field is missing or of a wrong type.
    """
    read = _READERS.get(name.upper())
    if read is None:
        raise InvalidDataError("The event", [f"{name!r:.60} is no event of a bot"])
    fields = Fields(as_mapping(data), "data")
    bot = fields.fields("bot")
    chat, user = _chat(fields.fields("chat")), _user(fields.fields("user"))
    common: dict[str, Any] = {
        "bot_id": bot.number("id"),
        "bot_code": bot.text("code"),
        "dialog_id": fields.text("dialogId") or (chat.dialog_id if chat is not None else ""),
        "chat": chat,
        "user": user,
        "language": fields.text("language"),
        "talk": talk,
    }
    return read(fields, common)


def _chat(fields: Fields) -> Chat | None:
    if not fields.values:
        return None
    return Chat(
        id=fields.number("id"),
        dialog_id=fields.text("dialogId"),
        type=fields.text("type"),
        name=fields.text("name"),
        owner_id=fields.number("owner"),
        entity_type=fields.text("entityType"),
        entity_id=fields.text("entityId"),
    )


def _user(fields: Fields) -> User | None:
    if not fields.values:
        return None
    return User(
        id=fields.number("id"),
        name=fields.text("name"),
        first_name=fields.text("firstName"),
        last_name=fields.text("lastName"),
        work_position=fields.text("workPosition"),
        type=fields.text("type"),
        is_bot=fields.flag("bot"),
        is_extranet=fields.flag("extranet"),
    )


def _message_fields(fields: Fields, common: dict[str, Any]) -> dict[str, Any]:
    message = fields.fields("message")
    message.needed("id")
    params = _texts(message.values.get("params"))
    return common | {
        "id": message.number("id"),
        "author_id": message.number("authorId"),
        "text": message.text("text"),
        "sent_at": _moment(message.text("date")),
        "is_system": message.flag("isSystem"),
        "params": params if is_mapping(params) else {},
        "files": _files(as_mapping(params), common["talk"]),
    }


def _files(params: Mapping[str, Any], talk: Talk) -> tuple[Attachment, ...]:
    ids = params.get("FILE_ID", ())
    found = ids.values() if is_mapping(ids) else ids if is_sequence(ids) else [ids]
    return tuple(Attachment(id=int(one), talk=talk) for one in found if isinstance(one, str) and one.isdecimal())


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    raise InvalidDataError("The event", ["data[message][date] must be a date of ISO 8601"])


def _texts(value: object) -> Any:
    """A value as a form holds it: texts only, without what is empty, for which portals post a text or nothing."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)
    if is_mapping(value):
        parts = {str(name): _texts(part) for name, part in value.items()}
        return {name: part for name, part in parts.items() if part not in (None, "", {}, [])}
    if is_sequence(value):
        return [_texts(part) for part in value if part is not None]
    return value


def _command(fields: Fields, common: dict[str, Any]) -> Update:
    command = fields.fields("command")
    return Command(
        **common,
        id=command.number("id"),
        name=command.needed("command").removeprefix("/"),
        params=command.text("params"),
        origin=command.text("context"),
        message=Message(**_message_fields(fields, common)),
    )


def _reaction(fields: Fields, common: dict[str, Any]) -> Update:
    return Reaction(
        **common,
        reaction=fields.needed("reaction"),
        is_added=fields.text("action") == "add",
        message=Message(**_message_fields(fields, common)),
    )


def _context(fields: Fields, common: dict[str, Any]) -> Update:
    context = _texts(fields.values.get("context"))
    return ContextOpened(**common, context=context if is_mapping(context) else {})


_READERS: Final[Mapping[str, Callable[[Fields, dict[str, Any]], Update]]] = {
    "ONIMBOTV2MESSAGEADD": lambda fields, common: Message(**_message_fields(fields, common)),
    "ONIMBOTV2MESSAGEUPDATE": lambda fields, common: MessageChanged(**_message_fields(fields, common)),
    "ONIMBOTV2MESSAGEDELETE": lambda fields, common: MessageDeleted(**common, id=fields.number("messageId")),
    "ONIMBOTV2JOINCHAT": lambda _, common: Joined(**common),
    "ONIMBOTV2COMMANDADD": _command,
    "ONIMBOTV2REACTIONCHANGE": _reaction,
    "ONIMBOTV2CONTEXTGET": _context,
    "ONIMBOTV2DELETE": lambda _, common: BotRemoved(**common),
}

EVENT_NAMES: Final = tuple(_READERS)
"""The events of a bot."""
