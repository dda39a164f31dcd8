"""How lists are walked: which methods differ, what a page is asked with, where an answer's rows and cursor are.

Pure: a pager holds the place of a walk, others send.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal, Protocol
from urllib.parse import quote

import attrs

from b24oauth.errors import InvalidParamsError, SdkError
from b24oauth.narrowing import is_mapping
from b24oauth.protocol.encoding import encode_query
from b24oauth.protocol.pages import last_in_order, rows_in, stuck, unreadable, whole_number

__all__ = [
    "LISTINGS",
    "PAGE_SIZE",
    "KeysetPager",
    "Listing",
    "NavPager",
    "OffsetPager",
    "Pager",
    "TailPager",
    "V3KeysetPager",
    "check_v3_filter",
    "listing_of",
]

# Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/list-methods-pecularities.html
PAGE_SIZE: Final = 50
# As `start`: the portal does not count the rows, which takes it longer than finding them.
_WITHOUT_COUNT: Final = -1

Paging = Literal["keyset", "offset", "nav"]


@attrs.frozen(kw_only=True)
class Listing:
    """What a list method wants and answers.

    Attributes:
        id_key: Field of a row that identifies it.
        cursor_id_key: The same field as filter and order want it named; None: as in the row.
        result_key: Where the rows are inside of `result`; None: `result` is the list.
        paging: By the last identifier, by an offset, or by the number of the page.
        nav_position: Place of the paging parameters of a positional method.
    """

    id_key: str = "ID"
    cursor_id_key: str | None = None
    result_key: str | None = None
    paging: Paging = "keyset"
    nav_position: int = 0


# Methods that differ from the usual; everything here can be overridden by the caller.
LISTINGS: Final[Mapping[str, Listing]] = {
    "crm.item.list": Listing(id_key="id", result_key="items"),
    "crm.type.list": Listing(id_key="id", result_key="types"),
    "tasks.task.list": Listing(id_key="id", cursor_id_key="ID", result_key="tasks"),
    "user.get": Listing(paging="offset"),
    "user.search": Listing(paging="offset"),
    "department.get": Listing(paging="offset"),
    "task.elapseditem.getlist": Listing(paging="nav", nav_position=4),
    "task.item.list": Listing(paging="nav", nav_position=2),
}


def listing_of(
    method: str,
    *,
    id_key: str | None,
    cursor_id_key: str | None,
    result_key: str | None,
    paging: Paging | None,
) -> Listing:
    """How a method is walked, as far as the caller does not say."""
    known = LISTINGS.get(method, Listing())
    id_name = id_key or known.id_key
    same = cursor_id_key is None and id_key is not None
    return attrs.evolve(
        known,
        id_key=id_name,
        cursor_id_key=id_name if same else (cursor_id_key or known.cursor_id_key or id_name),
        result_key=result_key or (None if id_key is not None and result_key is None else known.result_key),
        paging=paging or known.paging,
    )


class Pager(Protocol):
    """The place of a walk."""

    method: str
    done: bool

    def params(self) -> Any:
        """What the next page is asked with."""
        ...

    def read(self, payload: Mapping[str, Any]) -> list[Any]:
        """The rows of a page; moves the place behind them.

        Raises:
            BadResponseError: The rows or the place cannot be read, or the place did not move.
        """
        ...


@attrs.define(kw_only=True)
class KeysetPager:
    """How a v2 list is asked for by identifiers.

    Attributes:
        method: REST method.
        given: The caller's parameters.
        listing: What the method wants.
        cursor: Only rows with greater identifiers are wanted.
        last: No rows with greater identifiers are; None for no such end.
    """

    method: str
    given: Mapping[str, Any]
    listing: Listing
    cursor: int = 0
    last: int | None = None
    _ascending: str | None = attrs.field(init=False, default=None, repr=False)
    _after_key: str = attrs.field(init=False, repr=False)
    _until_key: str = attrs.field(init=False, repr=False)
    _references: dict[str, str] = attrs.field(init=False, factory=dict[str, str], repr=False)

    def __attrs_post_init__(self) -> None:
        name = quote(self._field, safe="")
        self._after_key, self._until_key = f"&filter%5B%3E{name}%5D=", f"&filter%5B%3C%3D{name}%5D="
        own = self._filter()
        if own.get(f">{self._field}") is not None:
            self.cursor = max(self.cursor, _number(own[f">{self._field}"], f"filter.>{self._field}"))
        # A bound that is no number stays as it is: segments have to do without one of their own.
        self.last = whole_number(own.get(f"<={self._field}"))

    @property
    def can_be_cut(self) -> bool:
        """False when the caller's filter leaves no room for an end of a segment."""
        return self.last is not None or f"<={self._field}" not in self._filter()

    def params(self, after: int | str, until: int | None = None, skip: int | None = None) -> dict[str, Any]:
        """What a page is asked with.

        Args:
            after: The identifier that it begins behind, or a reference to it.
            until: The last identifier that is of use; None for the caller's own bound, if any.
            skip: Rows to pass over, for which the portal counts; None: it need not count.
        """
        bounds: dict[str, Any] = {f">{self._field}": after}
        if until is not None:
            bounds[f"<={self._field}"] = until
        start = _WITHOUT_COUNT if skip is None else skip
        return {**self.given, "order": {self._field: "ASC"}, "filter": {**self._filter(), **bounds}, "start": start}

    def query(self, after: int | str, until: int | None = None, skip: int | None = None) -> str:
        """The same as the query string of a batch command; what all pages have in common is encoded once.

        Args:
            after: As for `params`.
            until: As for `params`.
            skip: As for `params`.

        Raises:
            InvalidParamsError: A parameter cannot be sent; names its place.
        """
        if self._ascending is None:
            self._ascending = self._encoded("ASC", _WITHOUT_COUNT)
        query = self._ascending if skip is None else self._encoded("ASC", skip)
        query += self._after_key + (str(after) if isinstance(after, int) else _quoted(after))
        return query if until is None else f"{query}{self._until_key}{until}"

    def query_of_greatest(self) -> str:
        """The query string of the command for the greatest identifier, and for the number of rows."""
        return f"{self._encoded('DESC', 0)}{self._after_key}{self.cursor}"

    def _encoded(self, direction: str, start: int) -> str:
        own = {name: value for name, value in self._filter().items() if name != f">{self._field}"}
        rest = {name: value for name, value in self.given.items() if name != "filter"}
        # PHP takes together what stands under one name, and the last value of a key counts. An empty filter is left
        # out: written down it would be one condition.
        return encode_query(
            {**rest, "order": {self._field: direction}, "start": start, **({"filter": own} if own else {})}
        )

    def reference(self, alias: str) -> str:
        """Stands for the last identifier of another command's full page."""
        known = self._references.get(alias)
        if known is None:
            path = [self.listing.result_key] if self.listing.result_key else []
            parts = (alias, *path, PAGE_SIZE - 1, self.listing.id_key)
            known = self._references[alias] = "$result" + "".join(f"[{part}]" for part in parts)
        return known

    def rows(self, payload: Mapping[str, Any]) -> list[Any]:
        """The rows of a page."""
        return rows_in(payload, self.listing.result_key, self.method)

    def identifier(self, row: object) -> int:
        """The identifier of a row.

        Raises:
            BadResponseError: There is none to go on with.
        """
        identifier = whole_number(row.get(self.listing.id_key)) if is_mapping(row) else None
        if identifier is None:
            raise unreadable(self.method, self.listing.id_key)
        return identifier

    def last_in_order(self, rows: Sequence[Any], after: int) -> int:
        """The identifier of the last row of a page that is in order.

        Args:
            rows: The page, which is not empty.
            after: The identifier that it begins behind.

        Raises:
            BadResponseError: There is none to go on with, the page does not lead on, or its rows are in another order.
        """
        return last_in_order(rows, self.listing.id_key, after, self.method)

    @property
    def _field(self) -> str:
        return self.listing.cursor_id_key or self.listing.id_key

    def _filter(self) -> Mapping[str, Any]:
        found: object = self.given.get("filter") or {}
        if not is_mapping(found):
            raise InvalidParamsError("filter: must be a mapping in v2, for example {'>ID': 100}")
        return found


@attrs.define(kw_only=True)
class OffsetPager:
    """A v2 walk by an offset, for methods without an identifier to sort by.

    Rows that are added or deleted meanwhile shift the others: some may come twice or not at all.
    """

    method: str
    given: Mapping[str, Any]
    listing: Listing
    start: int = 0
    total: int | None = None
    done: bool = False

    def params(self) -> dict[str, Any]:
        """What the next page is asked with."""
        return {**self.given, "start": self.start}

    def read(self, payload: Mapping[str, Any]) -> list[Any]:
        """The rows of the next page; moves the place behind them."""
        rows = rows_in(payload, self.listing.result_key, self.method)
        self.total = whole_number(payload.get("total"))
        following = whole_number(payload.get("next"))
        self.done = following is None or not rows
        # What says that there is more, but not where, is no end either.
        if (payload.get("next") if following is None else following <= self.start) and rows:
            raise stuck(self.method, "next")
        self.start = self.start if following is None else following
        return rows


@attrs.define(kw_only=True)
class NavPager:
    """A walk of a positional `task.*` method by the number of the page."""

    method: str
    given: Any
    listing: Listing
    page: int = 1
    done: bool = False
    _last: list[Any] = attrs.field(factory=list[Any], init=False)

    def params(self) -> list[Any]:
        """What the next page is asked with."""
        values = list(self.given.values()) if is_mapping(self.given) else list(self.given)
        position = self.listing.nav_position
        values += [{}] * (position + 1 - len(values))
        own: Mapping[str, Any] = values[position] if is_mapping(values[position]) else {}
        values[position] = {**own, "NAV_PARAMS": {"nPageSize": PAGE_SIZE, "iNumPage": self.page}}
        return values

    def read(self, payload: Mapping[str, Any]) -> list[Any]:
        """The rows of the next page; moves the place behind them."""
        rows = rows_in(payload, self.listing.result_key, self.method)
        self.done = len(rows) < PAGE_SIZE
        # Asked for a page behind the last, the portal answers the last one again.
        if rows == self._last:
            self.done = True
            return []
        self.page += 1
        self._last = rows
        return rows


@attrs.define(kw_only=True)
class V3KeysetPager:
    """A v3 walk by the last identifier seen; ends at a page that is empty or shorter than the longest."""

    method: str
    given: Mapping[str, Any]
    id_key: str
    cursor_id_key: str
    result_key: str
    limit: int
    cursor: int = 0
    longest: int = 0
    done: bool = False

    def params(self) -> dict[str, Any]:
        """What the next page is asked with."""
        return {
            **self.given,
            "order": {self.cursor_id_key: "ASC"},
            "filter": [*(self.given.get("filter") or ()), [self.cursor_id_key, ">", self.cursor]],
            "pagination": {"page": 0, "limit": self.limit},
        }

    def read(self, payload: Mapping[str, Any]) -> list[Any]:
        """The rows of the next page; moves the place behind them."""
        rows = rows_in(payload, self.result_key, self.method)
        if rows:
            self.cursor = last_in_order(rows, self.id_key, self.cursor, self.method)
        self.longest = max(self.longest, len(rows))
        self.done = not rows or len(rows) < self.longest
        return rows


@attrs.define(kw_only=True)
class TailPager:
    """A v3 walk by the method's own cursor; ends at a page that is empty or shorter than the longest."""

    method: str
    given: Mapping[str, Any]
    field: str
    order: str
    value: Any
    result_key: str
    limit: int
    longest: int = 0
    done: bool = False

    def params(self) -> dict[str, Any]:
        """What the next page is asked with."""
        cursor = {"field": self.field, "value": self.value, "order": self.order, "limit": self.limit}
        return {**self.given, "cursor": cursor}

    def read(self, payload: Mapping[str, Any]) -> list[Any]:
        """The rows of the next page; moves the place behind them."""
        rows = rows_in(payload, self.result_key, self.method)
        if rows:
            last = rows[-1].get(self.field) if is_mapping(rows[-1]) else None
            if last is None or isinstance(last, (Mapping, list)):
                raise unreadable(self.method, self.field)
            if last == self.value:
                raise stuck(self.method, self.field)
            self.value = last
        self.longest = max(self.longest, len(rows))
        self.done = not rows or len(rows) < self.longest
        return rows


def check_v3_filter(given: Mapping[str, Any], action: str) -> None:
    """Refuses a filter in the manner of v2, which a condition on the cursor cannot be added to.

    Raises:
        SdkError: The filter is a mapping.
    """
    if is_mapping(given.get("filter")):
        raise SdkError(
            f"{action}: `filter` must be a list in v3, for example [['id', '>', 100]] or FilterV3.build(...); "
            "the mapping of v2 cannot be extended by the cursor",
            code="B24OAUTH_ACTION_V3_LIST_FILTER_NOT_ARRAY",
            status=500,
        )


# References between the pages of a request are the same in each request.
@lru_cache(maxsize=256)
def _quoted(text: str) -> str:
    return quote(text, safe="")


def _number(value: object, place: str) -> int:
    whole = whole_number(value)
    if whole is None:
        raise InvalidParamsError(f"{place}: must be a whole number, since the walk continues from it")
    return whole
