"""References from one command of a v2 batch to the response of an earlier one."""

from __future__ import annotations

import re
from string import Formatter
from typing import Final

import attrs

from b24oauth.errors import InvalidParamsError

__all__ = ["BatchRefV2", "looks_like_reference"]

# Pattern of text that a portal treats as a reference: "$" and one of these names (case-insensitive), up to the next
# whitespace, containing a key in brackets. Percent-encoded brackets also count, because they may be decoded twice.
_READ: Final = re.compile(r"\$(?:result|next|total|time|error)[^ \t-\r]*", re.IGNORECASE)
_WITH_KEY: Final = re.compile(r"\[|%5b", re.IGNORECASE)
_UNREADABLE: Final = re.compile(r"[\[\] \t-\r]")


def looks_like_reference(text: str) -> bool:
    """True if a portal may replace text with a value from another command's response."""
    return "$" in text and any(_WITH_KEY.search(found[0]) for found in _READ.finditer(text))


@attrs.frozen(repr=False)
class BatchRefV2:
    """A value of a v2 batch command that the portal fills in with (part of) the response of an earlier command.

    Made by `ref` and `format`. It is not text, so that no text of a user can be taken for one.

    Attributes:
        text: What is sent, when commands have the names by which the reference knows them.

    Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/batch.html
    """

    _parts: tuple[str | tuple[str, ...], ...]

    @classmethod
    def ref(cls, command: str | int, *path: str | int) -> BatchRefV2:
        """Stands for an earlier command's response, or a part of it.

        Args:
            command: Name of the command, or its position in a list.
            path: Keys and positions that lead to the part, for example ``("items", 0, "id")``.

        Raises:
            InvalidParamsError: A path element is empty, contains brackets or spaces, or is neither str nor int.
        """
        parts = tuple(_as_text(part, "ref", "B24OAUTH_BATCH_REF_V2_INVALID_PATH") for part in (command, *path))
        if any(not part or _UNREADABLE.search(part) for part in parts):
            raise _refused(
                "ref: names and keys must not be empty and must not hold brackets or spaces",
                "B24OAUTH_BATCH_REF_V2_INVALID_PATH",
            )
        return cls((parts,))

    @classmethod
    def format(cls, template: str, *values: BatchRefV2 | str | int) -> BatchRefV2:
        """Text around references, for example ``BatchRefV2.format("Copy of {}", BatchRefV2.ref("deal", "TITLE"))``.

        Args:
            template: Text with ``{}`` for each value, as for `str.format`; ``{{`` and ``}}`` stand for braces.
            values: References, and text or numbers to be written as they are.

        Raises:
            InvalidParamsError: The number of `{}` fields and values differs, a value has the wrong type, the text
                itself looks like a reference, or a reference is not followed by a space or the end of the text: the
                portal reads a reference up to the next space.
        """
        parts: list[str | tuple[str, ...]] = []
        left = list(values)
        for literal, field, spec, conversion in _fields(template):
            parts.append(literal)
            if field is None:
                continue
            if field or spec or conversion or not left:
                raise _refused("format: takes one value for each plain {} of the template")
            value = left.pop(0)
            parts += value._parts if isinstance(value, BatchRefV2) else (_as_text(value, "format"),)  # noqa: SLF001 - of this class
        if left:
            raise _refused("format: takes one value for each plain {} of the template")
        made = cls(tuple(part for part in parts if part))
        expected = [_written(part) for part in made._parts if isinstance(part, tuple)]
        if [found[0] for found in _READ.finditer(made.text) if _WITH_KEY.search(found[0])] != expected:
            raise _refused(
                "format: the portal reads a reference up to the next space, so put a space or nothing after each "
                "reference, and write no text that looks like one"
            )
        return made

    @property
    def text(self) -> str:
        """What is sent, when commands have the names by which the reference knows them."""
        return "".join(part if isinstance(part, str) else _written(part) for part in self._parts)

    @property
    def commands(self) -> tuple[str, ...]:
        """Names of the referenced commands, including repetitions."""
        return tuple(part[0] for part in self._parts if isinstance(part, tuple))

    def renamed(self, names: dict[str, str]) -> str:
        """What is sent when commands have other names.

        Args:
            names: The names in the request, by those that the reference has.
        """
        written = [
            part if isinstance(part, str) else _written((names.get(part[0], part[0]), *part[1:]))
            for part in self._parts
        ]
        return "".join(written)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<BatchRefV2 {self.text}>"


def _as_text(part: object, action: str, code: str = "B24OAUTH_BATCH_REF_V2_INVALID_FORMAT") -> str:
    # Members of an enumeration may show themselves as something else than their text.
    if isinstance(part, str):
        return str.__str__(part)
    if isinstance(part, int) and not isinstance(part, bool):
        return int.__repr__(part)
    raise _refused(f"{action}: takes text or whole numbers, not {type(part).__name__}", code)


def _written(path: tuple[str, ...]) -> str:
    return "$result" + "".join(f"[{part}]" for part in path)


def _fields(template: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(Formatter().parse(template))
    except (ValueError, TypeError):
        pass
    raise _refused("format: the template must be text with a {} for each value; write {{ and }} for braces")


def _refused(message: str, code: str = "B24OAUTH_BATCH_REF_V2_INVALID_FORMAT") -> InvalidParamsError:
    return InvalidParamsError(f"BatchRefV2.{message}", code=code)
