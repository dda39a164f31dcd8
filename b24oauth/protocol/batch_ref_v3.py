"""References from one command of a v3 batch to the response of an earlier one; the batch itself is built elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal

import attrs

from b24oauth.errors import InvalidParamsError

__all__ = ["BatchRefV3", "is_marker"]

_INVALID_PATH = "B24OAUTH_BATCH_REF_V3_INVALID_PATH"
_INVALID_REF_ARRAY = "B24OAUTH_BATCH_REF_V3_INVALID_REF_ARRAY"
_MARKERS: Final = frozenset({"$ref", "$refarray"})


def is_marker(key: object) -> bool:
    """True for a key that makes a portal replace the mapping around it by a part of another command's response."""
    return isinstance(key, str) and key.lower() in _MARKERS


@attrs.frozen(eq=False, repr=False)
class BatchRefV3(Mapping[str, str]):
    """A value of a v3 batch command that the portal replaces by a part of the response of an earlier command.

    Made by `ref` and `ref_array`. It reads like the mapping that is sent, such as ``{"$ref": "task.item.id"}``, but no
    mapping of a user is taken for one.

    Source: https://apidocs.bitrix24.com/api-reference/rest-v3/index.html
    """

    _marker: Literal["$ref", "$refArray"]
    _path: str

    @classmethod
    def ref(cls, path: str) -> BatchRefV3:
        """Stand for one value of an earlier response.

        Args:
            path: Alias of the command, or its position in a list, and the way to the value, such as "task.item.id".

        Returns:
            The reference, which is sent as `{"$ref": path}`.

        Raises:
            InvalidParamsError: The path is empty or not a string.
        """
        return cls("$ref", _checked(path, "ref"))

    @classmethod
    def ref_array(cls, path: str) -> BatchRefV3:
        """Stand for one field of every row of an earlier response.

        Args:
            path: Alias of the command, or its position in a list, and the field, such as "tasks.id".

        Returns:
            The reference, which is sent as `{"$refArray": path}`.

        Raises:
            InvalidParamsError: The path is empty, not a string, or names no field.
        """
        if "." in _checked(path, "ref_array"):
            return cls("$refArray", path)
        message = 'BatchRefV3.ref_array: path must contain a dot ("alias.field"): the field is collected from each item'
        raise InvalidParamsError(message, code=_INVALID_REF_ARRAY)

    @property
    def command(self) -> str:
        """Alias or position of the command that it refers to."""
        return self._path.partition(".")[0]

    def renamed(self, names: Mapping[str, str]) -> dict[str, str]:
        """What is sent when commands have other names.

        Args:
            names: The names in the request, by those that the reference has.
        """
        command, dot, rest = self._path.partition(".")
        return {self._marker: names.get(command, command) + dot + rest}

    def __getitem__(self, key: str) -> str:
        if key == self._marker:
            return self._path
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        yield self._marker

    def __len__(self) -> int:
        return 1

    def __hash__(self) -> int:
        return hash((self._marker, self._path))

    def __repr__(self) -> str:
        return f"<BatchRefV3 {self._marker} {self._path}>"


def _checked(path: object, method: str) -> str:
    if isinstance(path, str) and path.strip():
        return path
    message = f'BatchRefV3.{method}: path must be a non-empty dotted string (e.g. "tasks.id")'
    raise InvalidParamsError(message, code=_INVALID_PATH)
