"""How a caller wants a list to be read: the options of lists and tails with their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import attrs

from b24oauth.lists.kinds import Paging
from b24oauth.lists.paging import PAGE_SIZE

__all__ = ["ListChoice", "TailChoice", "chosen"]

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class ListChoice:
    """What `ListOptions` and `V3ListOptions` say about the way of a walk; see there.

    Attributes:
        limit: Rows of a page; None: those that `pagination` names, else 50.
    """

    id_key: str | None = None
    cursor_id_key: str | None = None
    custom_key_for_result: str | None = None
    paging: Paging | None = None
    start_after: int | str | None = None
    descending: bool = False
    allow_changes: bool = False
    limit: int | None = None

    @property
    def named(self) -> str | None:
        """The field of the cursor, as far as the caller names it."""
        return self.cursor_id_key or self.id_key


@attrs.frozen(kw_only=True)
class TailChoice:
    """What `TailOptions` say about the way of a walk; see there."""

    cursor_field: str = "id"
    order: str = "ASC"
    initial_value: Any = None
    limit: int = PAGE_SIZE
    custom_key_for_result: str | None = None


def chosen(kind: type[T], options: Mapping[str, Any]) -> T:
    """The options that a class has fields for, by their names.

    Args:
        kind: An attrs class.
        options: Options by name, without those that are None.
    """
    names = {field.name for field in attrs.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in options.items() if name in names})
