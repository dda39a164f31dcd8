"""Keyboards: buttons below a message. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import attrs

from b24oauth.errors import InvalidParamsError
from b24oauth.shapes import is_sequence

__all__ = ["Button", "Keyboard"]

Action = Literal["PUT", "SEND", "COPY", "CALL", "DIALOG"]
Color = Literal["primary", "secondary", "alert", "base"]

_ACTIONS: Final = ("PUT", "SEND", "COPY", "CALL", "DIALOG")
_COLORS: Final = ("primary", "secondary", "alert", "base")
_DEVICES: Final = ("ALL", "MOBILE", "DESKTOP")


@attrs.frozen
class Button:
    """A button below a message. It has exactly one of `link`, `command` and `action`.

    Attributes:
        text: What stands on it.
        link: The address that it opens: http, https, or a path of the portal that begins with ``/``.
        command: The command of the bot that it calls, without a slash.
        params: Parameters of the command.
        action: What it does in the user's messenger: ``PUT`` text into the input field, ``SEND`` or ``COPY`` it,
            ``CALL`` a number, or open a ``DIALOG``. The bot gets no event.
        value: What the action is done with.
        blocks: Whether the button can be pressed once only; for commands.
        is_disabled: Whether the button cannot be pressed.
        color: Its color.
        device: Where it is shown: ``ALL``, ``MOBILE`` or ``DESKTOP``.

    Raises:
        InvalidParamsError: Fields contradict each other.

    Source: https://apidocs.bitrix24.com/api-reference/chat-bots/chat-bots-v2/imbot.v2/messages/message-keyboards.html
    """

    text: str
    link: str | None = attrs.field(default=None, kw_only=True)
    command: str | None = attrs.field(default=None, kw_only=True)
    params: str = attrs.field(default="", kw_only=True)
    action: Action | None = attrs.field(default=None, kw_only=True)
    value: str = attrs.field(default="", kw_only=True)
    blocks: bool = attrs.field(default=False, kw_only=True)
    is_disabled: bool = attrs.field(default=False, kw_only=True)
    color: Color = attrs.field(default="base", kw_only=True)
    device: Literal["ALL", "MOBILE", "DESKTOP"] = attrs.field(default="ALL", kw_only=True)

    def __attrs_post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise InvalidParamsError(f"Button: {problem}")

    def _problem(self) -> str:
        kinds = sum(kind is not None for kind in (self.link, self.command, self.action))
        rules = (
            (bool(self.text.strip()), "text must not be empty"),
            (kinds == 1, "exactly one of link, command and action is needed"),
            (
                (self.link or "/").startswith(("https://", "http://", "/")),
                "link must begin with https://, http:// or /",
            ),
            (not self.params or self.command is not None, "params are those of a command"),
            (bool(self.value) == (self.action is not None), "action and value belong together"),
            (not self.blocks or self.command is not None, "blocks works with a command only"),
            (self.action in (None, *_ACTIONS), f"action must be one of {', '.join(_ACTIONS)}"),
            (self.color in _COLORS, f"color must be one of {', '.join(_COLORS)}"),
            (self.device in _DEVICES, f"device must be one of {', '.join(_DEVICES)}"),
        )
        return next((problem for holds, problem in rules if not holds), "")

    def fields(self, display: Literal["LINE", "BLOCK"]) -> dict[str, Any]:
        """The button as the portal takes it.

        Args:
            display: Whether it stands in a line with others.
        """
        fields: dict[str, Any] = {"TEXT": self.text, "DISPLAY": display}
        if self.link is not None:
            fields["LINK"] = self.link
        elif self.command is not None:
            fields["COMMAND"] = self.command.removeprefix("/")
            fields |= {"COMMAND_PARAMS": self.params} if self.params else {}
        else:
            fields |= {"ACTION": self.action, "ACTION_VALUE": self.value}
        if self.color != "base":
            fields["BG_COLOR_TOKEN"] = self.color
        if self.device != "ALL":
            fields["CONTEXT"] = self.device
        return fields | {name: "Y" for name, is_so in (("BLOCK", self.blocks), ("DISABLED", self.is_disabled)) if is_so}


@attrs.frozen(init=False)
class Keyboard:
    """The buttons below a message, row by row: ``Keyboard([Button(…), Button(…)], [Button(…)])``.

    Attributes:
        rows: The rows.

    Raises:
        InvalidParamsError: A row is empty, or holds something else than buttons.
    """

    rows: tuple[tuple[Button, ...], ...]

    def __init__(self, *rows: Sequence[Button]) -> None:
        for row in rows:
            if not is_sequence(row) or not row or not all(isinstance(button, Button) for button in row):
                raise InvalidParamsError("Keyboard: each row must be a list of buttons, at least one")
        if not rows:
            raise InvalidParamsError("Keyboard: at least one row is needed; keyboard=None is no keyboard")
        object.__setattr__(self, "rows", tuple(map(tuple, rows)))

    def fields(self, bot_id: int) -> dict[str, Any]:
        """The keyboard as the portal takes it.

        Args:
            bot_id: The bot that gets the commands.
        """
        buttons: list[dict[str, Any]] = []
        for row in self.rows:
            if buttons:
                buttons.append({"TYPE": "NEWLINE"})
            buttons += [button.fields("BLOCK" if len(row) == 1 else "LINE") for button in row]
        return {"BOT_ID": bot_id, "BUTTONS": buttons}
