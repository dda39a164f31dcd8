"""Lists of REST v2 that are read by identifier: each page starts after the last row of the previous one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

import attrs

from b24oauth.errors import InvalidParamsError
from b24oauth.lists.pages import RowsReader, cannot_go_on, last_in_order
from b24oauth.lists.paging import PAGE_SIZE, PageRequest, says_more
from b24oauth.lists.parameters import ListParameters
from b24oauth.protocol.encoding import encode_query
from b24oauth.shapes import is_mapping, whole_number

__all__ = ["KeysetChain", "KeysetPager"]

_OPERATORS: Final = "!<>=@%~*?"
# As `start`: the portal does not count the rows, which takes it longer than finding them.
_WITHOUT_COUNT: Final = -1


@attrs.define(kw_only=True)
class KeysetPager:
    """Builds the requests of a walk by identifier and reads its pages.

    Attributes:
        method: REST method.
        parameters: The caller's parameters.
        reader: Finds the rows of a page.
        id_key: Field of a row that holds the identifier.
        field: The same field as `filter` and `order` name it.
        pair: The method takes `sort` and `order` as texts.
        wraps: The caller's filter becomes a group of its own beside the cursor, because it is joined by a `logic`.
        descending: The greatest identifier comes first.
        cursor: Only rows after this identifier are wanted; None: all rows of a descending walk.
    """

    method: str
    parameters: ListParameters
    reader: RowsReader
    id_key: str
    field: str
    pair: bool = False
    wraps: bool = False
    descending: bool = False
    cursor: int | None = 0
    _filter: Mapping[str, Any] = attrs.field(init=False, repr=False)
    _after_key: str = attrs.field(init=False, repr=False)
    _encoded: str | None = attrs.field(init=False, default=None, repr=False)
    _references: dict[tuple[str, int], str] = attrs.field(init=False, factory=dict[tuple[str, int], str], repr=False)

    def __attrs_post_init__(self) -> None:
        own = self._respelled(self.parameters.filter)
        if self.wraps:
            # Beside the alternatives of an OR the cursor would be one more of them.
            own = {"0": own}
        bound = own.pop(self._bound, None)
        if bound is not None:
            number = whole_number(bound)
            if number is None:
                name = self.parameters.name("filter")
                raise InvalidParamsError(
                    f"{name}.{self._bound}: must be a whole number, because the walk continues from it"
                )
            both = [number] if self.cursor is None else [number, self.cursor]
            self.cursor = min(both) if self.descending else max(both)
        self._filter = own
        filter_, name = quote(self.parameters.name("filter"), safe=""), quote(self.field, safe="")
        sign = "%3C" if self.descending else "%3E"
        self._after_key = f"&{filter_}%5B{sign}{name}%5D="

    def _respelled(self, filter_: Mapping[str, Any]) -> dict[str, Any]:
        """The caller's filter with its own bounds by the identifier in the spelling of the walk's.

        Two spellings would be two conditions for us, and may be one for the portal.

        Raises:
            InvalidParamsError: A bound is given in two spellings.
        """
        respelled: dict[str, Any] = {}
        for name, value in {str(name): value for name, value in filter_.items()}.items():
            operator = name[: len(name) - len(name.lstrip(_OPERATORS))]
            is_bound = operator != "" and name[len(operator) :].lower() == self.field.lower()
            spelled = f"{operator}{self.field}" if is_bound else name
            if spelled in respelled:
                raise InvalidParamsError(
                    f"{self.parameters.name('filter')}.{name}: the condition is given in two spellings, of which the "
                    "portal may drop one: give it once"
                )
            respelled[spelled] = value
        return respelled

    @property
    def kind(self) -> tuple[str, ...]:
        """The method and the conditions of its filter, without their values: what the time of counting depends on."""
        return (self.method, *sorted(self._filter))

    @property
    def is_bounded(self) -> bool:
        """True when the walk must start after an identifier."""
        return self.cursor not in (None, 0)

    def params(self, after: int | str | None, *, skip: int | None = None) -> dict[str, Any]:
        """The parameters of one page.

        Args:
            after: The identifier that the page starts after, or a reference to it; None: no such bound.
            skip: Rows to skip, for which the portal counts; None: it need not count.
        """
        bounds: dict[str, Any] = {} if after is None else {self._bound: after}
        return self._params({**self._filter, **bounds}, skip)

    def query(self, after: int | str | None, *, skip: int | None = None) -> str:
        """The same as the query string of a batch command; what all pages have in common is encoded once.

        Args:
            after: As for `params`.
            skip: As for `params`.

        Raises:
            InvalidParamsError: A parameter cannot be sent; names its place.
        """
        query = self._common(skip)
        if after is None:
            return query
        return query + self._after_key + (str(after) if isinstance(after, int) else _quoted(after))

    def reference(self, alias: str, size: int = PAGE_SIZE) -> str:
        """A reference to the last identifier of another command's full page.

        Args:
            alias: Name of the command.
            size: Rows of a full page.
        """
        known = self._references.get((alias, size))
        if known is None:
            path = self.reader.key.split(".") if self.reader.key else []
            parts = (alias, *path, size - 1, self.id_key)
            known = self._references[alias, size] = "$result" + "".join(f"[{part}]" for part in parts)
        return known

    def rows(self, payload: Mapping[str, Any]) -> list[Any]:
        """The rows of a page."""
        return self.reader.read(payload)

    def identifier(self, row: object) -> int:
        """The identifier of a row.

        Raises:
            BadResponseError: The row has none.
        """
        identifier = whole_number(row.get(self.id_key)) if is_mapping(row) else None
        if identifier is None:
            raise cannot_go_on(self.method, self.id_key)
        return identifier

    def last_in_order(self, rows: Sequence[Any], after: int | None) -> int:
        """The identifier of the last row of a page whose rows are in order.

        Args:
            rows: The page, which is not empty.
            after: The identifier that the page starts after; None: the first page of a descending walk.

        Raises:
            BadResponseError: There is no identifier, the page does not advance, or its rows are in another order.
        """
        return last_in_order(rows, self.id_key, after, self.method, descending=self.descending)

    @property
    def _bound(self) -> str:
        return f"{'<' if self.descending else '>'}{self.field}"

    def _common(self, skip: int | None) -> str:
        # Bounds follow under the same name: PHP merges them, and the last value of a key counts.
        if skip is not None:
            return encode_query(self._params(self._filter, skip))
        if self._encoded is None:
            self._encoded = encode_query(self._params(self._filter, None))
        return self._encoded

    def _params(self, filter_: Mapping[str, Any], skip: int | None) -> dict[str, Any]:
        order = self.parameters.ordered(self.field, descending=self.descending, pair=self.pair)
        start = _WITHOUT_COUNT if skip is None else skip
        return self.parameters.sent(**order, filter=filter_, start=start)


@attrs.define(kw_only=True)
class KeysetChain:
    """A walk by identifier as one chain of pages, of any size and in either direction.

    A page ends the walk when it is empty, or shorter than the documented size or than two others.

    Attributes:
        pager: Builds the requests.
        page_size: Rows of a full page; None: not documented.
        done: The last page was read.
    """

    pager: KeysetPager
    page_size: int | None
    done: bool = False
    _pages: int = 0
    _longest: int = 0
    _full: int = 0
    _requested: int = 0
    _next: int = 0
    _rows: int = 0

    @property
    def method(self) -> str:
        """REST method."""
        return self.pager.method

    @property
    def total(self) -> int | None:
        """How many rows there are; None before the last page, because pages by identifier do not say it."""
        return self._rows if self.done else None

    def requests(self, most: int) -> list[PageRequest]:
        """The next pages: the first after the last row read, each other one after the page before it."""
        if self.done:
            return []
        pager, size, begin = self.pager, self._longest, self._requested
        # A reference leads to the row at a position, and a mapping has no positions.
        count = 1 if size == 0 or pager.reader.keyed else min(most, max(1, self._pages))
        self._next, self._requested = begin, begin + count
        following = (pager.query(pager.reference(f"p{number}", size)) for number in range(count - 1))
        return [
            PageRequest(begin, pager.params(pager.cursor), pager.query(pager.cursor)),
            *(PageRequest(begin + number, None, query) for number, query in enumerate(following, 1)),
        ]

    def read(self, request: PageRequest, payload: Mapping[str, Any]) -> list[Any]:
        """The rows of a page.

        Args:
            request: What was requested.
            payload: The decoded body of the response.

        Raises:
            BadResponseError: The page has no rows, or the walk cannot go on from it.
        """
        if request.place != self._next:
            return []  # the page before it had another size, so its reference led to no row
        rows = self.pager.rows(payload)
        if not rows and request.params is None:
            return []  # the reference may have led nowhere: the next page is requested by the identifier itself
        short = len(rows) < (self.page_size or 0) or (self._full > 1 and len(rows) < self._longest)
        counted = not self._pages and whole_number(payload.get("total")) == len(rows) < PAGE_SIZE
        self.done = not rows or ((short or counted) and not says_more(payload))
        # A list that fits on one page needs no identifiers, unless it must start after one.
        if rows and (self._pages or not self.done or self.pager.is_bounded):
            self.pager.cursor = self.pager.last_in_order(rows, self.pager.cursor)
        usual = len(rows) == self._longest
        self._next = request.place + 1 if usual else self._requested
        self._full = self._full + 1 if usual else 1
        self._longest = max(self._longest, len(rows))
        self._pages += 1
        self._rows += len(rows)
        return rows


# References between the pages of a request are the same in each request.
@lru_cache(maxsize=256)
def _quoted(text: str) -> str:
    return quote(text, safe="")
