"""How list methods answer: filters, order, pages and totals of v2; pagination, tails and aggregates of v3."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from b24oauth.shapes import as_mapping, is_list
from b24oauth.testing.conditions import Condition, Row, Test, comparable, select_rows, v2_conditions, v3_conditions
from b24oauth.testing.data import Entity
from b24oauth.testing.messages import Reply, RestError
from b24oauth.testing.table import Table

__all__ = ["PAGE", "aggregate", "legacy_list", "modern_list", "tail", "v2_list"]

PAGE = 50
_V3_MAXIMUM = 1000
_INVALID = "BITRIX_REST_V3_EXCEPTION_VALIDATION_REQUESTVALIDATIONEXCEPTION"


def v2_list(table: Table, entity: Entity, params: Mapping[str, Any], *, wrap: str | None) -> Reply:
    """A v2 list: `filter`, `order`, `select`, `start`.

    Args:
        table: The rows.
        entity: Their kind.
        params: The call's parameters, their names in any case.
        wrap: The key under which the rows are answered, or None for a bare list.

    Source: https://apidocs.bitrix24.com/api-reference/how-to-call-rest-api/list-methods-pecularities.html
    """
    given = _lower_keys(params)
    order = _order(given.get("order"), entity)
    return _v2_page(table, entity, given, filter_=given.get("filter"), order=order, wrap=wrap)


def legacy_list(table: Table, entity: Entity, params: Mapping[str, Any]) -> Reply:
    """A list whose filter stands among the parameters and whose order is `SORT` and `ORDER`.

    Source: https://apidocs.bitrix24.com/api-reference/user/user-get.html
    """
    given = _lower_keys(params)
    reserved = {"sort", "order", "start", "filter", "select", "admin_mode"}
    filter_ = {key.upper(): value for key, value in given.items() if key not in reserved}
    filter_ |= as_mapping(given.get("filter"))
    sort = given.get("sort")
    order = [(str(sort), str(given.get("order", "ASC")).upper() == "DESC")] if sort else []
    return _v2_page(table, entity, given, filter_=filter_, order=order, wrap=None)


def _v2_page(
    table: Table,
    entity: Entity,
    given: Mapping[str, Any],
    *,
    filter_: Any,
    order: list[tuple[str, bool]],
    wrap: str | None,
) -> Reply:
    selection = select_rows(v2_conditions(filter_, entity.rename, groups=entity.groups), entity.id_field)
    start = _integer(given.get("start"), 0)
    offset = max(start, 0)
    page = table.page(selection, order=order, offset=offset, limit=PAGE, count=start >= 0)
    rows = _selected(page.rows, _select(given.get("select"), entity))
    more = page.total is not None and offset + PAGE < page.total
    return Reply(
        result={wrap: rows} if wrap else rows,
        total=page.total,
        next=offset + PAGE if more else None,
        counted=0 if page.total is None else page.total + offset,
    )


def modern_list(table: Table, entity: Entity, params: Mapping[str, Any], *, cap: int) -> list[Row]:
    """The rows of a v3 list: `filter`, `order`, `select`, `pagination {page, limit, offset}`.

    Args:
        table: The rows.
        entity: Their kind.
        params: The call's parameters.
        cap: Rows of a page at most, whatever the limit.

    Raises:
        RestError: 400: the filter or the limit is not valid.
    """
    selection = select_rows(_renamed(v3_conditions(params.get("filter")), entity), entity.id_field)
    limit, offset = _window(params.get("pagination"), cap)
    order = _order(params.get("order"), entity)
    page = table.page(selection, order=order, offset=offset, limit=limit, count=False)
    return _selected(page.rows, _select(params.get("select"), entity))


def tail(table: Table, entity: Entity, params: Mapping[str, Any], *, cap: int) -> list[Row]:
    """The rows behind a v3 cursor `{field, value, order, limit}`.

    Raises:
        RestError: 400: the cursor is not valid, or its field stands in the filter too.
    """
    cursor = as_mapping(params.get("cursor"))
    field = str(cursor.get("field", "id"))
    conditions = v3_conditions(params.get("filter"))
    if any(isinstance(item, Condition) and item.field == field for item in conditions):
        raise RestError(_INVALID, f"The cursor field {field} must not be in filter.", validation=("filter",))
    descending = str(cursor.get("order", "ASC")).upper() == "DESC"
    if cursor.get("value") is not None:
        conditions.append(Condition(field, "<" if descending else ">", cursor["value"]))
    selection = select_rows(_renamed(conditions, entity), entity.id_field)
    limit = min(_limit(cursor), cap)
    page = table.page(selection, order=[(entity.rename(field), descending)], offset=0, limit=limit, count=False)
    return _selected(page.rows, _select(params.get("select"), entity))


def aggregate(table: Table, entity: Entity, params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Counts, sums, averages, least and largest values of the rows that fit.

    Raises:
        RestError: 400: an unknown function.
    """
    selection = select_rows(_renamed(v3_conditions(params.get("filter")), entity), entity.id_field)
    rows = list(table.matching(selection))
    wanted = as_mapping(params.get("select"))
    return {
        str(function): {field: _aggregated(str(function), [row.get(field) for row in rows]) for field in fields}
        for function, fields in wanted.items()
    }


def _aggregated(function: str, values: list[Any]) -> Any:
    numbers = [comparable(value)[1] for value in values]
    match function:
        case "count":
            return len(values)
        case "countDistinct":
            return len({comparable(value) for value in values})
        case "sum":
            return sum(numbers)
        case "avg":
            return sum(numbers) / len(numbers) if numbers else None
        case "min" | "max":
            return (min if function == "min" else max)(values, key=comparable, default=None)
        case _:
            raise RestError(_INVALID, f"Unknown aggregate function {function}.", validation=("select",))


def _renamed(conditions: Iterable[Condition | Test], entity: Entity) -> list[Condition | Test]:
    return [
        Condition(entity.rename(item.field), item.operator, item.value) if isinstance(item, Condition) else item
        for item in conditions
    ]


def _order(order: Any, entity: Entity) -> list[tuple[str, bool]]:
    return [(entity.rename(str(field)), str(way).upper() == "DESC") for field, way in as_mapping(order).items()]


def _select(select: Any, entity: Entity) -> list[str]:
    names = [str(name) for name in select if name] if is_list(select) else []
    return [] if "*" in names else [entity.rename(name) for name in names]


def _selected(rows: Iterable[Row], fields: list[str]) -> list[Row]:
    if not fields:
        return list(rows)
    return [{field: row[field] for field in fields if field in row} for row in rows]


def _window(pagination: Any, cap: int) -> tuple[int, int]:
    given = as_mapping(pagination)
    limit = min(_limit(given), cap)
    # Pages are numbered from 1; 0 is accepted and means the first one.
    page = max(_integer(given.get("page"), 1), 1)
    return limit, _integer(given.get("offset"), (page - 1) * limit)


def _limit(given: Mapping[str, Any]) -> int:
    limit = _integer(given.get("limit"), PAGE)
    if not 1 <= limit <= _V3_MAXIMUM:
        raise RestError(_INVALID, f"limit must be from 1 to {_V3_MAXIMUM}.", validation=("limit",))
    return limit


def _integer(value: Any, default: int) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return default


def _lower_keys(params: Mapping[str, Any]) -> dict[str, Any]:
    return {key.lower(): value for key, value in params.items()}
