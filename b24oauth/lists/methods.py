"""What the documentation says about each list method of REST v2: a table that is loaded at first use."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final, Literal, cast

import attrs

__all__ = ["UNKNOWN", "ListMethod", "PageParameter", "RowsShape", "list_method"]

PageParameter = Literal["start", "offset", "page", "limit", "last", "least", "nav", "all", "total", "consumed", ""]
RowsShape = Literal["rows", "values", "codes"]


@attrs.frozen(kw_only=True)
class ListMethod:
    """The documented facts about one list method.

    Attributes:
        rows_key: Key of the rows inside `result`; empty: `result` is the list; None: not documented.
        shape: Whether rows are mappings, plain values, or the values of a mapping by code.
        id_key: Field of a row that identifies it; None: rows have no identifier.
        cursor_key: The same field as `filter` and `order` name it, where the method can filter by it; else None.
        is_unsure: That it filters by the identifier is inferred from its family, and told by no page.
        joins_by_or: `filter` takes nested groups that are joined by OR.
        page_size: Rows of a full page; None: not documented.
        paging: How the method says where a page begins. "all": it answers all rows at once. "total": it answers a
            total, and nothing says how to page. "limit": nothing but the size of the page can be given. "last" and
            "least": after the identifier of the last row, or after the smallest one. "nav": by `NAV_PARAMS`.
            "consumed": reading the rows confirms or reserves them. "": the method is not in the table.
        order: Whether the order is a mapping of fields, a pair of `sort` and `order`, or cannot be given ("").
        positional: The method takes its parameters by position; with "nav" paging, the position of `NAV_PARAMS`.
        names: Documented spelling of each parameter by its name in lower case.
        inside: Parameter that contains the ones that page, such as "PARAMS" in ``PARAMS[limit]``; empty: none.
    """

    rows_key: str | None = None
    shape: RowsShape = "rows"
    id_key: str | None = None
    cursor_key: str | None = None
    is_unsure: bool = False
    joins_by_or: bool = False
    page_size: int | None = None
    paging: PageParameter = ""
    order: Literal["map", "pair", ""] = ""
    positional: int | None = None
    names: Mapping[str, str] = attrs.field(factory=dict[str, str])
    inside: str = ""


UNKNOWN: Final = ListMethod()


def list_method(name: str) -> ListMethod:
    """The facts about a method; `UNKNOWN` when it is not in the table.

    Source: https://apidocs.bitrix24.com/api-reference/
    """
    return _table().get(name.lower(), UNKNOWN)


@cache
def _table() -> Mapping[str, ListMethod]:
    text = (files("b24oauth.lists") / "methods.tsv").read_text("utf-8")
    columns, *lines = (line.split("\t") for line in text.splitlines())
    rows = (dict(zip(columns, line, strict=False)) for line in lines)
    return {row["method"].lower(): _facts(row) for row in rows}


def _facts(row: Mapping[str, str]) -> ListMethod:
    parameters = row.get("parameters", "").split()
    inside = next((name.partition(".")[0] for name in parameters if "." in name), "")
    names = [name.rpartition(".")[2] for name in parameters]
    position, size = row.get("positional", ""), row.get("page", "")
    return ListMethod(
        rows_key=None if row["rows"] == "?" else row["rows"],
        shape=cast("RowsShape", row["shape"]),
        id_key=row["id"] or None,
        cursor_key=row["cursor"] or None,
        is_unsure=row.get("unsure") == "unsure",
        joins_by_or=row["or"] == "or",
        page_size=int(size) if size else None,
        paging=cast("PageParameter", row["paging"]),
        order=cast("Literal['map', 'pair', '']", row.get("order", "")),
        positional=int(position) if position.isdigit() else (-1 if position else None),
        names={name.lower(): name for name in names},
        inside=inside,
    )
