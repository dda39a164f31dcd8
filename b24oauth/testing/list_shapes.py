"""List methods of many shapes: where rows are, how they page, which parameters they read and which they ignore."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

from b24oauth.shapes import as_mapping, is_list, is_mapping
from b24oauth.testing.conditions import comparable, matching, v2_conditions
from b24oauth.testing.messages import Call, Reply

__all__ = ["ListShape"]


@attrs.frozen(kw_only=True)
class ListShape:
    """How one list method answers.

    Parameters under another name, or in another case of letters, are ignored, as portals ignore what they do not know.

    Attributes:
        rows_key: Key of the rows inside `result`; empty: `result` is the list.
        form: "list"; "numbers": a mapping by position; "codes": a mapping by a code.
        id_key: Field of a row that identifies it.
        filter: Name of the filter parameter; empty: the method has none.
        filter_field: The identifier as the filter names it; empty: the filter ignores it.
        groups: The filter takes nested groups and `logic`.
        order: Name of the order parameter, a mapping; empty: rows come in their own order.
        sort: Name of the parameter that names the field to sort by, beside `order` for the direction.
        order_field: The identifier as `order` names it.
        select: Name of the parameter that lists the fields to return; empty: the method has none.
        paging: What says where a page begins; "all": all rows come at once.
        parameter: Name of the paging parameter; inside another one: "PARAMS.offset".
        limit: Name of the parameter for the size of a page; empty: the method has none.
        page_size: Rows of a page.
        most: Rows of a page that `limit` may ask for at most.
        whole_pages: A `start` between two pages is rounded down to the first row of its page.
        total: How the total is given: right, None, or always this number.
        following: The response names the next row in `next`.
        newest_first: Rows come with the greatest identifier first.
        positional: Names of the parameters in their order, where only their position counts.
    """

    rows_key: str = ""
    form: Literal["list", "numbers", "codes"] = "list"
    id_key: str = "ID"
    filter: str = "filter"
    filter_field: str = "ID"
    groups: bool = False
    order: str = "order"
    sort: str = ""
    order_field: str = "ID"
    select: str = ""
    paging: Literal["start", "offset", "page", "last_id", "all"] = "start"
    parameter: str = "start"
    limit: str = ""
    page_size: int = 50
    most: int = 1000
    whole_pages: bool = False
    total: Literal["right"] | int | None = "right"
    following: bool = True
    newest_first: bool = False
    positional: tuple[str, ...] = ()

    def answer(self, rows: Sequence[Any], call: Call) -> Reply:
        """The reply to one call.

        Args:
            rows: All rows of the list, in their own order.
            call: The call.
        """
        params: Mapping[str, Any] = call.params
        if self.positional:
            params = dict(zip(self.positional, params.values(), strict=False))
        fitting = self._ordered(self._fitting(rows, params), params)
        size, first = self._size(params), self._first(fitting, params)
        page = fitting if self.paging == "all" else fitting[first : first + size]
        page = [self._selected(row, params) for row in page]
        counts = not (self.paging == "start" and _whole(_find(params, self.parameter), 0) < 0)
        more = first + size < len(fitting) and self.paging != "all"
        return Reply(
            result=self._wrapped(page),
            total=len(fitting) if self.total == "right" and counts else (self.total if counts else None),  # type: ignore[arg-type]
            next=first + size if more and self.following and counts else None,
        )

    def _fitting(self, rows: Sequence[Any], params: Mapping[str, Any]) -> list[Any]:
        own: Any = params.get(self.filter) if self.filter and self.filter_field else None

        def rename(name: str) -> str:
            return self.id_key if name == self.filter_field else name

        conditions = v2_conditions(own, rename, groups=self.groups)
        return [row for row in rows if not is_mapping(row) or matching(row, conditions)]

    def _ordered(self, rows: list[Any], params: Mapping[str, Any]) -> list[Any]:
        field, direction = "", ""
        if self.sort:
            field, direction = str(params.get(self.sort, "")), str(params.get(self.order, "ASC"))
        elif self.order and is_mapping(given := params.get(self.order)) and given:
            field, direction = next((str(name), str(way)) for name, way in given.items())
        if field:
            key = self.id_key if field == self.order_field else field
            rows = sorted(rows, key=lambda row: comparable(as_mapping(row).get(key)))
            return rows[::-1] if direction.upper() == "DESC" else rows
        return rows[::-1] if self.newest_first else rows

    def _size(self, params: Mapping[str, Any]) -> int:
        given = _whole(_find(params, self.limit), 0) if self.limit else 0
        return min(given, self.most) if given > 0 else self.page_size

    def _first(self, rows: Sequence[Any], params: Mapping[str, Any]) -> int:
        value = _find(params, self.parameter)
        match self.paging:
            case "start" | "offset":
                start = max(0, _whole(value, 0))
                return start - start % self.page_size if self.whole_pages else start
            case "page":
                return (max(1, _whole(value, 1)) - 1) * self._size(params)
            case "last_id" if value is not None:
                after = comparable(value)
                return sum(1 for row in rows if comparable(row[self.id_key]) >= after)
            case _:
                return 0

    def _selected(self, row: Any, params: Mapping[str, Any]) -> Any:
        names = params.get(self.select) if self.select else None
        if not is_list(names) or "*" in names or not is_mapping(row):
            return row
        wanted = {self.id_key if name == self.order_field else name for name in names}
        return {name: value for name, value in row.items() if name in wanted}

    def _wrapped(self, page: list[Any]) -> Any:
        rows: Any = page
        if self.form == "numbers" and page:
            rows = {str(position + 1): row for position, row in enumerate(page)}
        elif self.form == "codes" and page:
            rows = {f"code_{position}": row for position, row in enumerate(page)}
        return {self.rows_key: rows} if self.rows_key else rows


def _find(params: Mapping[str, Any], path: str) -> Any:
    value: Any = params
    for name in path.split("."):
        value = as_mapping(value).get(name)
    return value


def _whole(value: Any, default: int) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return default
