"""A file as a value for the parameters of a call: its name and its content in base64, as file fields want them."""

from __future__ import annotations

import base64

import attrs

from b24oauth.errors import InvalidParamsError

__all__ = ["File"]


def _is_name(_self: object, field: attrs.Attribute[str], value: str) -> None:
    if not value or "/" in value or "\\" in value:
        raise InvalidParamsError(f"File: {field.name} must be a plain file name, without directories")


@attrs.frozen
class File:
    """A file to upload; usable anywhere in the parameters of calls and batches.

    Attributes:
        name: Name of the file, with its extension.
        encoded: Content in base64.

    Source: https://apidocs.bitrix24.com/api-reference/files/how-to-upload-files.html
    """

    name: str = attrs.field(validator=_is_name)
    encoded: str = attrs.field(repr=lambda text: f"<{len(text)} characters of base64>")

    @classmethod
    def from_bytes(cls, name: str, content: bytes) -> File:
        """A file from its content.

        Args:
            name: Name of the file, with its extension.
            content: What is in it.

        Raises:
            InvalidParamsError: The name is empty or has directories.
        """
        return cls(name, base64.b64encode(content).decode("ascii"))

    def to_pair(self) -> list[str]:
        """Name and content, as file fields want them."""
        return [self.name, self.encoded]
