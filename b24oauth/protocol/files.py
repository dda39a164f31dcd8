"""A file as a value for the parameters of a call, and the format that each method expects."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, Literal

import attrs

from b24oauth.errors import InvalidParamsError

__all__ = ["File", "write_file"]

_Form = Literal["pair", "list of pairs", "file data", "base64"]

# How methods take files, by the beginning of their names; all others take a pair of name and base64 text.
# A pair is accepted by the methods that want `fileData`, but nothing is stored.
# Source: https://apidocs.bitrix24.com/api-reference/files/how-to-upload-files.html and the pages of the methods
_FORMS: Final[Mapping[str, _Form]] = {
    "catalog.product": "file data",
    "catalog.store": "file data",
    "crm.activity": "file data",
    "crm.company": "file data",
    "crm.contact": "file data",
    "crm.deal": "file data",
    "crm.invoice": "file data",
    "crm.lead": "file data",
    "crm.product": "file data",
    "crm.quote": "file data",
    "lists.add": "file data",
    "lists.section": "file data",
    "lists.update": "file data",
    "sale.property": "file data",
    "sale.propertyvalue": "file data",
    "crm.timeline.comment": "list of pairs",
    "log.blogcomment": "list of pairs",
    "log.blogpost": "list of pairs",
    "rpa.comment": "list of pairs",
    "crm.documentgenerator": "base64",
    "crm.timeline.icon": "base64",
    "crm.timeline.logo": "base64",
    "documentgenerator": "base64",
    "im.chat": "base64",
    "im.v2.file": "base64",
    "imbot": "base64",
    "note.file": "base64",
    "sale.delivery": "base64",
    "sale.paysystem": "base64",
    "sign.b2e.document": "base64",
    "sonet_group": "base64",
    "task.item.addfile": "base64",
    "tasks.template.checklist": "base64",
    "telephony.externalcall": "base64",
}
# Values of product properties stand under `value`, beside the identifier of an older value.
_WITH_VALUES: Final = "catalog.product."
_PROPERTY: Final = re.compile(r"property_?\d+", re.ASCII | re.IGNORECASE)
# Last key of a parameter path, and the list index after it, if any.
_LAST_KEY: Final = re.compile(r"([^.\[\]]*)((?:\[\d+\])?)\Z")


def _check_name(_self: object, field: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not value or "/" in value or "\\" in value:
        raise InvalidParamsError(f"File: {field.name} must be a plain file name, without directories")


def _as_bytes(content: bytes | str) -> bytes:
    if isinstance(content, (bytes, bytearray, memoryview)):
        return bytes(content)
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError, TypeError):
        pass
    # Raised here and not above: the cause would carry the content along.
    raise InvalidParamsError("File: content must be bytes, or text in base64")


@attrs.frozen
class File:
    """A file to upload; usable anywhere in the parameters of calls and batches.

    A bare `File` is encoded in the format documented for the called method; use the methods below to choose a format
    yourself.

    Attributes:
        name: Name of the file, with its extension.
        content: The file's bytes; a str is decoded as base64.

    Source: https://apidocs.bitrix24.com/api-reference/files/how-to-upload-files.html
    """

    name: str = attrs.field(validator=_check_name)
    content: bytes = attrs.field(converter=_as_bytes, repr=lambda content: f"<{len(content)} bytes>")

    @classmethod
    def from_bytes(cls, name: str, content: bytes) -> File:
        """A file from its content.

        Args:
            name: Name of the file, with its extension.
            content: What is in it.

        Raises:
            InvalidParamsError: The name is empty or has directories.
        """
        return cls(name, content)

    @property
    def encoded(self) -> str:
        """The content in base64."""
        return base64.b64encode(self.content).decode("ascii")

    def as_pair(self) -> list[str]:
        """Name and base64 text, as `crm.item.*`, `crm.timeline.comment.*`, `disk.*` and most other methods take it."""
        return [self.name, self.encoded]

    def as_file_data(self) -> dict[str, list[str]]:
        """The pair under `fileData`, as `crm.deal.*`, `crm.contact.*` and `catalog.product.*` take it."""
        return {"fileData": self.as_pair()}

    def as_base64(self) -> str:
        """The base64 text alone, as `im.v2.File.upload` and `documentgenerator.template.add` take it."""
        return self.encoded

    def to_pair(self) -> list[str]:
        """The same as `as_pair`, under the name of version 0.1."""
        return self.as_pair()


def write_file(file: File, method: str, place: str) -> Any:
    """A file in the form that a method takes.

    Args:
        file: The file.
        method: REST method that it is sent to.
        place: Where it stands in the parameters, for example "fields.UF_CRM_1[0]".
    """
    found = _LAST_KEY.search(place)
    key, position = found.groups() if found else ("", "")
    if key in ("fileData", "fileContent") and position:
        return file.as_base64()  # the caller passes the file name as a separate parameter
    if key == "fileData":
        return file.as_pair()
    form = _form_of(method.lower())
    if form == "base64":
        return file.as_base64()
    if form == "list of pairs" and key.lower() == "files" and not position:
        return [file.as_pair()]  # read as two files otherwise
    if form in ("pair", "list of pairs"):
        return file.as_pair()
    wrapped = file.as_file_data()
    is_property = _PROPERTY.fullmatch(key) and method.lower().startswith(_WITH_VALUES)
    return {"value": wrapped} if is_property else wrapped


@lru_cache(maxsize=256)
def _form_of(method: str) -> _Form:
    name = method
    while name:
        if name in _FORMS:
            return _FORMS[name]
        name = name.rpartition(".")[0]
    return "pair"
