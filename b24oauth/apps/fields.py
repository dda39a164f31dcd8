"""Reads the fields of a request one by one, and names what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from b24oauth.claims import scopes
from b24oauth.converting import WHOLE_NUMBER
from b24oauth.errors import InvalidDataError
from b24oauth.redaction import redact
from b24oauth.shapes import is_list, is_mapping, whole_number

__all__ = ["Fields", "shown_masked"]

_TRUE: Final = frozenset({"1", "Y", "y", "true"})


def shown_masked(value: object) -> str:
    """What `repr` shows of fields that may hold secrets."""
    return repr(redact(value))


@attrs.frozen
class Fields:
    """A mapping of a request. A field that is absent or null has its default; PHP leaves empty ones out.

    Attributes:
        values: The fields by name.
        what: Name of the mapping for errors, for example ``auth``; empty for the request itself.
    """

    values: Mapping[str, Any]
    what: str = ""

    def text(self, name: str, default: str = "") -> str:
        """A text; a number is one too, since JSON does not write it as text."""
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, bool):
            return "1" if value else "0"
        if isinstance(value, int | float):
            return str(value)
        if not isinstance(value, str):
            raise self._unfit(name, "text")
        return value

    def number(self, name: str, default: int = 0) -> int:
        """A whole number, which may be written as text; an empty text counts as absent."""
        value = self.values.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, str) and WHOLE_NUMBER.fullmatch(value):
            return int(value)
        number = whole_number(value)
        if number is None:
            raise self._unfit(name, "a whole number")
        return number

    def flag(self, name: str) -> bool:
        """True for the ways in which Bitrix24 writes it: `1`, `Y` or `true`."""
        return self.text(name) in _TRUE

    def names(self, name: str) -> tuple[str, ...]:
        """Names in a text, separated by commas or blanks."""
        return scopes(self.text(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self.values.get(name)
        if value is None:
            return ()
        if not is_list(value):
            raise self._unfit(name, "a list")
        parts = Fields({str(index): part for index, part in enumerate(value)}, self._place(name))
        return tuple(parts.text(index) for index in parts.values)

    def mapping(self, name: str) -> Mapping[str, Any]:
        """A mapping; PHP writes an empty one as a list, and leaves it out in forms."""
        value = self.values.get(name)
        if value is None or value in ("", []):
            return {}
        if not is_mapping(value):
            raise self._unfit(name, "a mapping")
        return value

    def fields(self, name: str) -> Fields:
        """A mapping, to be read field by field."""
        return Fields(self.mapping(name), self._place(name))

    def needed(self, name: str) -> str:
        """A text that must be there."""
        value = self.text(name)
        if not value:
            raise InvalidDataError("The request", [f"{self._place(name)} is missing"])
        return value

    def _place(self, name: str) -> str:
        return f"{self.what}[{name}]" if self.what else name

    def _unfit(self, name: str, wanted: str) -> InvalidDataError:
        return InvalidDataError("The request", [f"{self._place(name)} must be {wanted}"])
