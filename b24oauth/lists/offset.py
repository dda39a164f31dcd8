"""Lists of REST v2 that are read by position: each page starts at a row number, or is a numbered page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from b24oauth.lists.methods import ListMethod
from b24oauth.lists.pages import RowsReader, list_changed, walk_error
from b24oauth.lists.paging import PAGE_SIZE, PageRequest, says_more
from b24oauth.lists.parameters import ListParameters
from b24oauth.shapes import is_mapping, whole_number

__all__ = ["OffsetPager"]

# Sizes that portals use for a page: so many rows may be all of a list, or the first of its pages.
_USUAL_SIZES: Final = frozenset({10, 20, 25, 50, 100, 200, 250, 500, 1000})


@attrs.define(kw_only=True)
class OffsetPager:
    """Builds the requests of a walk by position and reads its pages.

    Each page starts one row before the end of the previous one, so that rows which were added or deleted meanwhile are
    noticed. Where the portal counts in whole pages, pages follow each other without that row.

    Attributes:
        method: REST method.
        parameters: The caller's parameters.
        reader: Finds the rows of a page.
        facts: What the documentation says about the method.
        id_key: Field of a row that identifies it; None: whole rows are compared.
        begin: Row number at which the walk starts; with numbered pages, the number of the first page.
        skip: Rows to leave out at the beginning: some portals only start at whole pages.
        allow_changes: Changes are tolerated: rows may be missing or repeated.
        done: The last page was read.
    """

    method: str
    parameters: ListParameters
    reader: RowsReader
    facts: ListMethod
    id_key: str | None = None
    begin: int = 0
    skip: int = 0
    allow_changes: bool = False
    done: bool = False
    _aligned: bool = attrs.field(init=False)
    _total: int | None = attrs.field(init=False, default=None)
    _count: int = attrs.field(init=False, default=0)
    _pages: int = attrs.field(init=False, default=0)
    _last: list[Any] = attrs.field(init=False, factory=list[Any])
    _longest: int = attrs.field(init=False, default=0)
    _full: int = attrs.field(init=False, default=0)
    _first: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._aligned = self._numbered
        self._first = self._position + self.skip

    @property
    def total(self) -> int | None:
        """How many rows the walk yields; None when the portal gives no total, or one that cannot be right."""
        end = self._position if self.done else self._total
        return None if end is None else max(0, end - self._first)

    def resume(self, rows: list[Any]) -> None:
        """Continues after a first page that was read in another way, in the same order."""
        self._note(rows, rows)

    def requests(self, most: int) -> list[PageRequest]:
        """The next pages to request together."""
        if self.done:
            return []
        step = self._longest - (0 if self._aligned else 1)
        wanted = self._pages
        if self._total is not None and step > 0:
            wanted = (self._total - self._position) // step + 1
        count = max(1, min(most, wanted)) if self._pages and step > 0 else 1
        return [self._request(self._place(number, step)) for number in range(count)]

    def read(self, request: PageRequest, payload: Mapping[str, Any]) -> list[Any]:
        """The rows of a page that were not read before.

        Args:
            request: What was requested.
            payload: The decoded body of the response.

        Raises:
            BadResponseError: The page has no rows, or the portal does not page as requested.
            ListChangedError: Rows were added or deleted while the list was read.
        """
        if request.place != self._place(0, 0):
            return []  # the page before it had another size, so this one starts elsewhere
        rows, total = self.reader.read(payload), whole_number(payload.get("total"))
        more = says_more(payload)
        if not self._pages:
            # A total that is not greater than a full page may be the size of the page.
            self._total = total if total is not None and total > self._position + len(rows) else None
            new = rows
        elif self._is_same(rows, self._last):
            self._repeated(rows, total, more=more)
            return []
        else:
            new = self._new(rows, total)
        self._note(rows, new)
        self.done = self._is_last(rows, new, total, more=more)
        left_out = min(self.skip, len(new))
        self.skip -= left_out
        return new[left_out:]

    def _new(self, rows: list[Any], total: int | None) -> list[Any]:
        """The rows after the ones that were read before."""
        last = self._last[-1]
        if self._aligned and not self._are_told_apart:
            new, changed = rows, False
        elif self._aligned:
            known = [self._identity(row) for row in self._last]
            new = [row for row in rows if self._identity(row) not in known]
            changed = len(new) < len(rows)
        elif rows and self._identity(rows[0]) == self._identity(last):
            new, changed = rows[1:], False
        else:
            known = [self._identity(row) for row in self._last]
            new = [row for row in rows if self._identity(row) not in known]
            # Nothing follows a list whose last row was deleted.
            changed = bool(rows) or (self._total is not None and self._position < self._total)
        changed = changed or (self._total is not None and total is not None and total != self._total)
        if changed and not self.allow_changes:
            raise list_changed(self.method)
        return new

    def _repeated(self, rows: list[Any], total: int | None, *, more: bool | None) -> None:
        """The portal gave the same page again: it counts in whole pages, or nothing follows."""
        whole_page = len(rows) == (self.facts.page_size or PAGE_SIZE)
        short = len(rows) < self._documented_size
        expected = more or (self._total is not None and self._position < self._total and not short)
        documented = self.facts.paging in ("all", "offset", "page") or "start" in self.facts.names
        unclear = not documented and len(rows) in _USUAL_SIZES and total != self._position
        unclear = unclear or not self._are_told_apart
        if not self._aligned and self._pages == 1 and (whole_page or expected or unclear):
            self._aligned = True
            return
        if expected or unclear:
            reason = "it does not page by this parameter"
            remedy = "Call it with its own paging parameters instead"
            if not self._are_told_apart:
                reason, remedy = "its pages cannot be told apart", "Add fields to `select` in which the rows differ"
            raise walk_error(
                self.method,
                f"{self.method} returns the same {len(rows)} rows again instead of its next page, so {reason} "
                f"and rows may be missing. {remedy}",
            )
        self.done = True

    def _note(self, rows: list[Any], new: list[Any]) -> None:
        self._count += len(new)
        self._pages += 1
        self._last = rows or self._last
        self._full = self._full + 1 if len(rows) == self._longest else 1
        self._longest = max(self._longest, len(rows))
        if self._longest == 1:
            self._aligned = True  # pages of one row leave none to repeat

    def _is_last(self, rows: list[Any], new: list[Any], total: int | None, *, more: bool | None) -> bool:
        position, facts = self._position, self.facts
        if not new or more is False:
            return True
        if more or (self._total is not None and position < self._total):
            return False
        if len(rows) < self._documented_size or (self._full > 1 and len(rows) < self._longest):
            return True
        # After the first page, such a total may be the size of a page.
        complete = total == position and (self._pages == 1 or total not in _USUAL_SIZES)
        if len(rows) < PAGE_SIZE and (complete or facts.paging == "all"):
            return True
        if facts.paging == "limit":
            raise walk_error(
                self.method,
                f"{self.method} returned a full page of {len(rows)} rows and has no parameter to continue from it. "
                f"Pass a greater `{self.parameters.name('limit')}`",
            )
        return False

    @property
    def _documented_size(self) -> int:
        """Rows of a full page; 0 when it is not documented, or the caller requested another size."""
        limited = "limit" in self.parameters.own or "limit" in map(str.lower, self._container)
        return 0 if limited else self.facts.page_size or 0

    @property
    def _numbered(self) -> bool:
        return self.facts.paging == "page"

    @property
    def _position(self) -> int:
        """Row number after the last row that was read."""
        start = (self.begin - 1) * (self.facts.page_size or PAGE_SIZE) if self._numbered else self.begin
        return start + self._count

    def _place(self, number: int, step: int) -> int:
        if self._numbered:
            return self.begin + self._pages + number
        overlap = 0 if self._aligned or not self._pages else 1
        return self._position - overlap + number * step

    @property
    def _container(self) -> Mapping[str, Any]:
        """What the caller gave inside the parameter that contains the paging parameters."""
        inside = self.facts.inside.lower()
        given = next((value for name, value in self.parameters.rest.items() if str(name).lower() == inside), None)
        return given if inside and is_mapping(given) else {}

    def _request(self, place: int) -> PageRequest:
        """The request for a page; the first one is sent as the caller wrote it."""
        facts, parameters = self.facts, self.parameters
        if not self._pages and place == (1 if self._numbered else 0):
            return PageRequest(place, parameters.sent(start=None) if "start" in parameters.own else parameters.sent())
        name = facts.paging if facts.paging in ("offset", "page") else "start"
        if not facts.inside:
            return PageRequest(place, parameters.sent(**{name: place}))
        spelled = parameters.name(name)
        own = {key: value for key, value in self._container.items() if key.lower() != name}
        # Bitrix24 documents two spellings for the number of a page inside `pageNavigation`.
        own |= {spelled: place, "currentPage": place} if self._numbered else {spelled: place}
        rest = {key: value for key, value in parameters.rest.items() if key.lower() != facts.inside.lower()}
        return PageRequest(place, {**attrs.evolve(parameters, rest=rest).sent(), facts.inside: own})

    @property
    def _are_told_apart(self) -> bool:
        """False for rows without an identifier that `select` may have made equal."""
        return self.id_key is not None or not self.parameters.own.get("select")

    def _identity(self, row: Any) -> Any:
        found = row.get(self.id_key) if self.id_key is not None and is_mapping(row) else None
        return row if found is None else found

    def _is_same(self, rows: Sequence[Any], others: Sequence[Any]) -> bool:
        return len(rows) == len(others) and list(map(self._identity, rows)) == list(map(self._identity, others))
