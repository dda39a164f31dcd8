"""Registers a bot and its commands on a portal, and changes only what differs."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypedDict

import attrs

from b24oauth.bots.places import put_value, value_store
from b24oauth.bots.talking import Talk
from b24oauth.client import B24OAuth
from b24oauth.errors import ConfigurationError, InvalidDataError
from b24oauth.shapes import as_mapping, is_list, is_mapping, whole_number
from b24oauth.storing import ValueKey

__all__ = ["CommandSpec", "Profile", "ProfileOptions", "register"]

BotType = Literal["bot", "personal", "supervisor", "openline"]

_TYPES: Final = ("bot", "personal", "supervisor", "openline")
# What the portal shows of a registered bot as it was given.
_SHOWN: Final = ("eventMode", "isHidden", "isReactionsEnabled", "isSupportOpenline", "backgroundId")
_OF_COMMANDS: Final = ("common", "hidden", "extranetSupport")


class ProfileOptions(TypedDict, total=False):
    """How a bot appears and what it hears; see `Profile`."""

    last_name: str
    work_position: str
    color: str | None
    gender: Literal["M", "F"] | None
    avatar: bytes | None
    type: BotType
    is_hidden: bool
    has_reactions: bool
    is_for_open_lines: bool
    background: str | None


def _is_type(_self: object, _field: attrs.Attribute[Any], value: object) -> None:
    if value not in _TYPES:
        raise ConfigurationError(f"type must be one of {', '.join(_TYPES)}")


@attrs.frozen(kw_only=True)
class Profile:
    """How a bot appears on a portal.

    Attributes:
        code: Identifies the bot within the application.
        name: Name that users see.
        last_name: Last name.
        work_position: Position that users see.
        color: Color of the avatar, as Bitrix24 names it; None for the portal's choice.
        gender: ``M`` or ``F``; None for the portal's choice.
        avatar: The picture; None for none.
        type: What the bot hears: ``bot`` and ``openline`` mentions and private chats, ``personal`` and ``supervisor``
            everything in their chats.
        is_hidden: Whether it is left out of lists of contacts.
        has_reactions: Whether users may react to its messages.
        is_for_open_lines: Whether it works in Open Channels.
        background: ID of the background of its chats; None for the user's own.
    """

    code: str
    name: str
    last_name: str = ""
    work_position: str = ""
    color: str | None = None
    gender: Literal["M", "F"] | None = None
    avatar: bytes | None = attrs.field(default=None, repr=False)
    type: BotType = attrs.field(default="bot", validator=_is_type)
    is_hidden: bool = False
    has_reactions: bool = True
    is_for_open_lines: bool = False
    background: str | None = None

    def fields(self, webhook_url: str | None) -> dict[str, Any]:
        """The `fields` of `imbot.v2.Bot.register`."""
        properties: dict[str, Any] = {"name": self.name, "lastName": self.last_name, "workPosition": self.work_position}
        avatar = None if self.avatar is None else base64.b64encode(self.avatar).decode()
        chosen = {"color": self.color, "gender": self.gender, "avatar": avatar}
        properties |= {name: value for name, value in chosen.items() if value is not None}
        fields: dict[str, Any] = {
            "code": self.code,
            "properties": properties,
            "type": self.type,
            "eventMode": "fetch" if webhook_url is None else "webhook",
            "isHidden": self.is_hidden,
            "isReactionsEnabled": self.has_reactions,
            "isSupportOpenline": self.is_for_open_lines,
            "backgroundId": self.background,
        }
        return fields if webhook_url is None else {**fields, "webhookUrl": webhook_url}

    def unseen(self, webhook_url: str | None) -> str:
        """A digest of what the portal does not show; empty if there is nothing of it."""
        hidden = [webhook_url, self.color, None if self.avatar is None else hashlib.sha256(self.avatar).hexdigest()]
        return hashlib.sha256(json.dumps(hidden).encode()).hexdigest() if any(hidden) else ""


def _texts(given: str | Mapping[str, str]) -> Mapping[str, str]:
    if isinstance(given, str):
        return {"en": given} if given else {}
    return dict(given)


@attrs.frozen(kw_only=True)
class CommandSpec:
    """A command of a bot.

    Attributes:
        name: The command without a slash.
        title: What it does, by language; empty for a hidden command.
        params: What is written behind it, by language.
        common: Whether it may be called in chats that the bot is not in.
        hidden: Whether it is left out of the list of commands.
        extranet: Whether users from outside of the company may call it.
    """

    name: str
    title: Mapping[str, str] = attrs.field(factory=dict[str, str], converter=_texts)
    params: Mapping[str, str] = attrs.field(factory=dict[str, str], converter=_texts)
    common: bool = False
    hidden: bool = False
    extranet: bool = False

    def fields(self) -> dict[str, Any]:
        """The `fields` of `imbot.v2.Command.register`."""
        texts = {name: dict(value) for name, value in (("title", self.title), ("params", self.params)) if value}
        flags = {"common": self.common, "hidden": self.hidden, "extranetSupport": self.extranet}
        return {"command": self.name, **texts, **flags}

    def differs(self, listed: Mapping[str, Any]) -> bool:
        """Whether the portal's command, as `Command.list` shows it, is another one. It shows one language only."""
        fields = self.fields()
        shown = (("title", self.title), ("params", self.params))
        return any(fields[name] != listed.get(name) for name in _OF_COMMANDS) or any(
            texts and listed.get(name) not in texts.values() for name, texts in shown
        )


async def register(b24: B24OAuth, profile: Profile, commands: Iterable[CommandSpec], webhook_url: str | None) -> int:
    """Registers a bot and its commands, or changes what differs.

    Args:
        b24: The client of the portal.
        profile: The bot.
        commands: Its commands. Other commands of the bot stay.
        webhook_url: Where events are posted to; None to fetch them.

    Returns:
        The bot's ID.

    Raises:
        ConfigurationError: The bot is registered with another type, which cannot be changed.
        AjaxError: The portal refuses it.
    """
    wanted = profile.fields(webhook_url)
    # Twice registered is registered once.
    result = as_mapping(await b24.call("imbot.v2.Bot.register", {"fields": wanted}, idempotent=True))
    bot = as_mapping(result.get("bot"))
    bot_id = whole_number(bot.get("id"))
    if bot_id is None:
        raise InvalidDataError("The response to imbot.v2.Bot.register", ["bot.id is missing"])
    if bot.get("type", profile.type) != profile.type:
        raise ConfigurationError(
            f"type: bot {profile.code} is registered as {bot['type']}, which cannot be changed: "
            "use another code, or remove it with imbot.v2.Bot.unregister"
        )
    talk = Talk(b24, bot_id)
    changes = {name: wanted[name] for name in _SHOWN if name in bot and bot[name] != wanted[name]}
    if _looks_different(profile, bot_id, result.get("users")):
        changes["properties"] = wanted["properties"]
    await _update(talk, wanted, changes, profile.unseen(webhook_url))
    await _register_commands(talk, commands)
    return bot_id


async def _update(talk: Talk, wanted: Mapping[str, Any], changes: dict[str, Any], unseen: str) -> None:
    """Changes the bot, also when what the portal does not show may be another."""
    store = value_store(talk.b24)
    key = ValueKey(talk.b24.auth.client_id, talk.b24.auth.get_params().member_id, f"bot:{talk.bot_id}:registered")
    known = None if store is None or not unseen else await store.load_value(key)
    if unseen and (known is None or known.value != unseen):
        changes |= {"properties": wanted["properties"], "eventMode": wanted["eventMode"]}
    if changes.get("eventMode") == "webhook":
        changes["webhookUrl"] = wanted["webhookUrl"]
    if changes:
        await talk.call("Bot.update", {"fields": changes}, idempotent=True)
    if unseen and store is not None:
        await put_value(store, key, unseen)


def _looks_different(profile: Profile, bot_id: int, users: object) -> bool:
    found = users.values() if is_mapping(users) else users if is_list(users) else ()
    user = next((as_mapping(one) for one in found if whole_number(as_mapping(one).get("id")) == bot_id), None)
    if user is None:
        return False
    name = f"{profile.name} {profile.last_name}".strip()
    given = {"name": name, "workPosition": profile.work_position}
    given |= {} if profile.gender is None else {"gender": profile.gender}
    return any(field in user and user[field] != value for field, value in given.items())


async def _register_commands(talk: Talk, commands: Iterable[CommandSpec]) -> None:
    commands = list(commands)
    if not commands:
        return
    listed = as_mapping(await talk.call("Command.list", {}, idempotent=True)).get("commands")
    rows = [as_mapping(one) for one in listed] if is_list(listed) else []
    known = {str(row.get("command", "")).removeprefix("/"): row for row in rows}
    for command in commands:
        row = known.get(command.name)
        if row is None:
            await talk.call("Command.register", {"fields": command.fields()}, idempotent=True)
        elif command.differs(row):
            await talk.call("Command.update", {"commandId": row.get("id"), "fields": command.fields()}, idempotent=True)
