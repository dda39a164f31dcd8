"""What the pagers of all lists have in common: a request for one page, and how a list is walked with such requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import attrs

from b24oauth.shapes import is_mapping

__all__ = ["PAGE_SIZE", "PageRequest", "Pager", "says_more"]

# Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/list-methods-pecularities.html
PAGE_SIZE: Final = 50


@attrs.frozen
class PageRequest:
    """One page to request.

    Attributes:
        place: Where the page is in the list, as its pager counts.
        params: Parameters of a call of its own; None when it depends on a page before it in the same batch.
        query: The query string of a batch command; None: `params` are encoded.
    """

    place: int
    params: Any
    query: str | None = None


class Pager(Protocol):
    """Knows which page of a list comes next."""

    @property
    def method(self) -> str:
        """REST method."""
        ...

    @property
    def done(self) -> bool:
        """True when the last page was read."""
        ...

    @property
    def total(self) -> int | None:
        """How many rows the list has, as far as the portal says so reliably."""
        ...

    def requests(self, most: int) -> list[PageRequest]:
        """The next pages to request together, at most `most`; none when the last page was read."""
        ...

    def read(self, request: PageRequest, payload: Mapping[str, Any]) -> list[Any]:
        """The rows of a page that were not read before; none when the page is not the next one.

        Raises:
            BadResponseError: The page has no rows, or the walk cannot go on from it.
            ListChangedError: Rows were added or deleted while the list was read.
        """
        ...


def says_more(payload: Mapping[str, Any]) -> bool | None:
    """Whether a response says that there is a next page; None when it says nothing."""
    following = payload.get("next")
    if following is not None and following is not False:
        return True
    result = payload.get("result")
    flag = result.get("hasNextPage") if is_mapping(result) else None
    return flag if isinstance(flag, bool) else None
