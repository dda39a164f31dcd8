"""Lists that page by something else than a row number: positional methods, chat histories, and all of REST v3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from b24oauth.lists.pages import (
    RowsReader,
    cannot_go_on,
    last_in_order,
    list_changed,
    not_advancing,
    walk_error,
    whole_number,
)
from b24oauth.lists.paging import PAGE_SIZE, PageRequest, says_more
from b24oauth.lists.parameters import ListParameters
from b24oauth.shapes import is_mapping

__all__ = ["LastIdPager", "NavPager", "SinglePager", "TailPager", "V3KeysetPager", "V3OffsetPager"]


@attrs.define(kw_only=True)
class SinglePager:
    """A positional method that answers all rows at once: it has no place for a paging parameter."""

    method: str
    params: Any
    reader: RowsReader
    done: bool = False
    total: int | None = None

    def requests(self, most: int) -> list[PageRequest]:  # noqa: ARG002 - there is only one page
        """The only page."""
        return [] if self.done else [PageRequest(0, self.params)]

    def read(self, request: PageRequest, payload: Mapping[str, Any]) -> list[Any]:  # noqa: ARG002 - as above
        """The rows of the page.

        Raises:
            BadResponseError: There are no rows, or not all of them.
        """
        rows, total = self.reader.read(payload), whole_number(payload.get("total"))
        if says_more(payload) or (total or 0) > len(rows):
            raise walk_error(
                self.method,
                f"{self.method} has more rows than the {len(rows)} of its response, and no documented parameter to "
                "read them. Narrow its filter",
            )
        self.done, self.total = True, len(rows)
        return rows


@attrs.define(kw_only=True)
class NavPager:
    """A positional `task.*` method, read by page number.

    Attributes:
        position: Position of the parameter that contains `NAV_PARAMS`.
        allow_changes: Changes are tolerated: rows may be missing or repeated.
    """

    method: str
    params: Mapping[str, Any] | Sequence[Any]
    reader: RowsReader
    position: int
    allow_changes: bool = False
    page: int = 1
    done: bool = False
    total: int | None = None
    _count: int = 0
    _last: list[Any] = attrs.field(factory=list[Any], init=False)

    @property
    def own(self) -> Mapping[str, Any]:
        """What the caller gave at the position of `NAV_PARAMS`."""
        value = self._values()[self.position]
        return value if is_mapping(value) else {}

    def _values(self) -> list[Any]:
        params = self.params
        values: list[Any] = list(params.values()) if is_mapping(params) else list(params)
        return values + [{}] * (self.position + 1 - len(values))

    def requests(self, most: int) -> list[PageRequest]:  # noqa: ARG002 - positional methods are called one by one
        """The next page."""
        if self.done:
            return []
        values = self._values()
        values[self.position] = {**self.own, "NAV_PARAMS": {"nPageSize": PAGE_SIZE, "iNumPage": self.page}}
        return [PageRequest(self.page, values)]

    def read(self, request: PageRequest, payload: Mapping[str, Any]) -> list[Any]:  # noqa: ARG002 - always the next page
        """The rows of the next page.

        Raises:
            ListChangedError: The list has another number of rows than before.
        """
        rows, total = self.reader.read(payload), whole_number(payload.get("total"))
        if self.total is None:
            self.total = total if total is not None and total >= len(rows) else None
        elif total not in (None, self.total) and not self.allow_changes:
            raise list_changed(self.method)
        # The page after the last one is the last one again.
        new = [] if rows == self._last else rows
        self._count += len(new)
        missing = self.total is not None and self._count < self.total
        if not new and missing and not self.allow_changes:
            raise list_changed(self.method)
        # Some portals return smaller pages than requested.
        self.done = not new or (len(rows) < PAGE_SIZE and not missing)
        self.page += 1
        self._last = rows
        return new


@attrs.define(kw_only=True)
class LastIdPager:
    """A chat history or the like: each page starts after the identifier of the last row, newest first.

    Attributes:
        id_key: Field of a row that identifies it.
        least: The least identifier of a page is the one to continue after, wherever its row is.
        page_size: Rows of a full page; None: the caller requested another size.
        value: Identifier after which the next page starts; None: the first page.
        bound: The caller's `FIRST_ID`, which all rows come after; None: no such bound.
    """

    method: str
    parameters: ListParameters
    reader: RowsReader
    id_key: str
    least: bool
    page_size: int | None
    value: int | None = None
    bound: int | None = None
    done: bool = False
    total: int | None = None
    _seen: frozenset[int] = frozenset()
    _stage: int | None = None
    _longest: int = 0
    _full: int = 0

    def requests(self, most: int) -> list[PageRequest]:  # noqa: ARG002 - the next page depends on this one
        """The next page."""
        if self.done:
            return []
        params = self.parameters.sent(last_id=self.value)
        if self._stage is not None and "last_type" in self.parameters.documented:
            params[self.parameters.name("last_type")] = self._stage
        return [PageRequest(0, params)]

    def read(self, request: PageRequest, payload: Mapping[str, Any]) -> list[Any]:  # noqa: ARG002 - always the next page
        """The rows of the next page.

        Raises:
            BadResponseError: A row has no identifier, or the portal gives the same rows again.
        """
        rows = self.reader.read(payload)
        ids = [whole_number(row.get(self.id_key)) if is_mapping(row) else None for row in rows]
        more = says_more(payload)
        short = len(rows) < (self.page_size or 0) or (self._full > 1 and len(rows) < self._longest)
        self.done = not rows or more is False or (short and not more)
        known = [number for number in ids if number is not None]
        if not self.done and len(known) < len(ids):
            raise cannot_go_on(self.method, self.id_key)
        repeated = self._seen.intersection(known)
        if self.bound is not None and (repeated or any(number <= self.bound for number in known)):
            name = self.parameters.name("first_id")
            raise walk_error(
                self.method,
                f"{self.method} cannot be walked from `{name}`: use call.make page by page, with the greatest "
                f"identifier of a page as the next `{name}`",
            )
        if repeated:
            raise not_advancing(self.method, self.id_key)
        if known:
            self.value = min(known) if self.least else known[-1]
            self._seen = frozenset(known)
            # Confirmations come first; the portal must know which of the two kinds to continue with.
            self._stage = 1 if str(rows[-1].get("notify_type")) == "1" else 3
        self._full = self._full + 1 if len(rows) == self._longest else 1
        self._longest = max(self._longest, len(rows))
        return rows


@attrs.define(kw_only=True)
class V3KeysetPager:
    """A v3 list by identifier; ends at a page that is empty or shorter than the longest one.

    Rows without identifiers are read by position, where `allow_changes` tolerates missing and repeated rows.
    """

    method: str
    params: Mapping[str, Any]
    reader: RowsReader
    id_key: str
    field: str
    limit: int
    allow_changes: bool = False
    descending: bool = False
    cursor: int | None = 0
    done: bool = False
    total: int | None = None
    _longest: int = 0
    _by_position: V3OffsetPager | None = attrs.field(init=False, default=None)

    def requests(self, most: int) -> list[PageRequest]:
        """The next page."""
        if self.done:
            return []
        if self._by_position is not None:
            return self._by_position.requests(most)
        conditions: list[Any] = list(self.params.get("filter") or ())
        if self.cursor is not None:
            conditions.append([self.field, "<" if self.descending else ">", self.cursor])
        params = {**self._params(), **({"filter": conditions} if conditions else {})}
        return [PageRequest(0, {**params, "pagination": {"page": 0, "limit": self.limit}})]

    def _params(self) -> dict[str, Any]:
        return {**self.params, "order": {self.field: "DESC" if self.descending else "ASC"}}

    def read(self, request: PageRequest, payload: Mapping[str, Any]) -> list[Any]:
        """The rows of the next page."""
        if self._by_position is not None:
            rows = self._by_position.read(request, payload)
            self.done = self._by_position.done
            return rows
        rows = self.reader.read(payload)
        self.done = not rows or len(rows) < self._longest
        if rows:
            if not self._longest and self.cursor in (0, None) and not _is_named(rows[-1], self.id_key):
                # Without identifiers the list is read by position, in the same order.
                params = self._params()
                self._by_position = V3OffsetPager(
                    method=self.method,
                    params=params,
                    reader=self.reader,
                    id_key=self.id_key,
                    limit=self.limit,
                    allow_changes=self.allow_changes,
                )
                return self._by_position.read(request, payload)
            self.cursor = last_in_order(rows, self.id_key, self.cursor, self.method, descending=self.descending)
        self._longest = max(self._longest, len(rows))
        return rows


@attrs.define(kw_only=True)
class V3OffsetPager:
    """A v3 list in the caller's order, by row number; each page repeats the last row of the previous page."""

    method: str
    params: Mapping[str, Any]
    reader: RowsReader
    id_key: str
    limit: int
    begin: int = 0
    allow_changes: bool = False
    done: bool = False
    total: int | None = None
    _count: int = 0
    _last: list[Any] = attrs.field(factory=list[Any], init=False)
    _longest: int = 0

    def requests(self, most: int) -> list[PageRequest]:  # noqa: ARG002 - a v3 list is read page by page
        """The next page."""
        if self.done:
            return []
        # A page of one row leaves none to repeat.
        offset = self.begin + self._count - (1 if self._longest > 1 else 0)
        return [PageRequest(offset, {**self.params, "pagination": {"limit": self.limit, "offset": offset}})]

    def read(self, request: PageRequest, payload: Mapping[str, Any]) -> list[Any]:
        """The rows of the next page that were not read before.

        Raises:
            BadResponseError: The portal gives a full page again.
            ListChangedError: Rows were added or deleted while the list was read.
        """
        rows = self.reader.read(payload)
        known = [self._identity(row) for row in rows]
        if known and known == self._last:
            # The portal takes no offset: a page that is not full is the whole list.
            if len(rows) >= min(self.limit, PAGE_SIZE):
                raise walk_error(
                    self.method,
                    f"{self.method} returns the same {len(rows)} rows again instead of its next page, so rows may be "
                    f"missing. Order the list by `{self.id_key}`, or narrow its filter",
                )
            self.done = True
            return []
        self.done = not rows or len(rows) < self._longest
        self._longest = max(self._longest, len(rows))
        if rows and request.place < self.begin + self._count:
            if known[0] == self._last[-1]:
                rows = rows[1:]
            elif not self.allow_changes:
                raise list_changed(self.method)
        self._count += len(rows)
        self._last = known or self._last
        return rows

    def _identity(self, row: Any) -> Any:
        return row.get(self.id_key, row) if is_mapping(row) else row


@attrs.define(kw_only=True)
class TailPager:
    """A v3 walk by the method's own cursor; ends at a page that is empty or shorter than the longest one."""

    method: str
    params: Mapping[str, Any]
    reader: RowsReader
    field: str
    order: str
    value: Any
    limit: int
    done: bool = False
    total: int | None = None
    _longest: int = 0
    _tied: list[Any] = attrs.field(factory=list[Any], init=False)

    def requests(self, most: int) -> list[PageRequest]:  # noqa: ARG002 - the next page depends on this one
        """The next page."""
        if self.done:
            return []
        cursor = {"field": self.field, "value": self.value, "order": self.order, "limit": self.limit}
        return [PageRequest(0, {**self.params, "cursor": cursor})]

    def read(self, request: PageRequest, payload: Mapping[str, Any]) -> list[Any]:  # noqa: ARG002 - always the next page
        """The rows of the next page."""
        rows = self.reader.read(payload)
        self.done = not rows or len(rows) < self._longest
        self._longest = max(self._longest, len(rows))
        if not rows:
            return rows
        values = [row.get(self.field) if is_mapping(row) else None for row in rows]
        if values[-1] is None or isinstance(values[-1], (Mapping, list)):
            raise cannot_go_on(self.method, self.field)
        tied, self._tied = self._tied, []
        again = rows[: len(tied)] == tied
        new = rows[len(tied) :] if again else [row for row in rows if row not in tied]
        if not self.done and (not new or values[-1] == self.value):
            raise not_advancing(self.method, self.field)
        self._go_on(rows, values)
        return new

    def _go_on(self, rows: list[Any], values: list[Any]) -> None:
        """Chooses where the next page starts: rows with the last value of this one may follow on it."""
        tied = next((number for number, value in enumerate(reversed(values)) if value != values[-1]), len(values))
        if self.field == "id" or len(rows) == 1 or len(rows) < min(self.limit, PAGE_SIZE):
            self.value = values[-1]
        elif tied < len(rows):
            # The value before the last one: rows with the last value are read again, and told from the new ones.
            self.value, self._tied = values[-1 - tied], rows[-tied:]
        elif not self.done:
            raise walk_error(
                self.method,
                f"{self.method}: all {len(rows)} rows of a page have the same `{self.field}`, so rows may be missing. "
                "Pass a greater limit, or a cursor_field that differs in each row",
            )


def _is_named(row: Any, key: str) -> bool:
    return is_mapping(row) and row.get(key) is not None
