"""Filters of both REST versions as one kind of condition, and the selection of rows that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from b24oauth.shapes import as_mapping, is_list, is_mapping
from b24oauth.testing.messages import RestError

__all__ = [
    "Condition",
    "Row",
    "Selection",
    "Test",
    "comparable",
    "matching",
    "select_rows",
    "v2_conditions",
    "v3_conditions",
]

Row = Mapping[str, Any]
Test = Callable[[Row], bool]
Rename = Callable[[str], str]

# Longer ones first: `>=` is not `>` of a field `=ID`.
_PREFIXES = (">=", "<=", "><", "!=", "!@", "!%", "=%", "%=", "!", ">", "<", "=", "@", "%")
_V2_OPERATORS: Final = {
    "": "=",
    "!": "!=",
    "@": "in",
    "!@": "not in",
    "%": "contains",
    "=%": "contains",
    "%=": "contains",
    "!%": "not contains",
    "><": "between",
}
_V3_OPERATORS = frozenset({"=", "!=", ">", ">=", "<", "<=", "in", "between"})
_NOWHERE = 10**15


@attrs.frozen
class Condition:
    """One comparison: the field of the row, the operator, the value to compare with."""

    field: str
    operator: str
    value: Any

    def holds(self, row: Row) -> bool:
        """Whether the row fits; numbers and numeric texts compare as numbers."""
        return _OPERATORS[self.operator](row.get(self.field), self.value)


@attrs.frozen(kw_only=True)
class Selection:
    """What a filter asks for, its bounds on the id kept apart so that a page costs no scan.

    Attributes:
        low: Smallest id that fits.
        high: Largest id that fits.
        ids: The only ids that fit, or None.
        tests: What else a row must pass.
    """

    low: int = -_NOWHERE
    high: int = _NOWHERE
    ids: frozenset[int] | None = None
    tests: tuple[Test, ...] = ()


def select_rows(conditions: Sequence[Condition | Test], id_field: str) -> Selection:
    """Makes a selection of conditions that must all hold."""
    selection = Selection()
    for condition in conditions:
        narrowed = _narrowed(selection, condition, id_field) if isinstance(condition, Condition) else None
        test = condition.holds if isinstance(condition, Condition) else condition
        selection = narrowed or attrs.evolve(selection, tests=(*selection.tests, test))
    return selection


def _narrowed(selection: Selection, condition: Condition, id_field: str) -> Selection | None:
    if condition.field != id_field or condition.operator not in {"=", "in", ">", ">=", "<", "<="}:
        return None
    if condition.operator in {"=", "in"}:
        ids = frozenset(_as_id(value) for value in _as_list(condition.value))
        return attrs.evolve(selection, ids=ids if selection.ids is None else ids & selection.ids)
    bound = _as_id(condition.value)
    if condition.operator[0] == ">":
        return attrs.evolve(selection, low=max(selection.low, bound + (condition.operator == ">")))
    return attrs.evolve(selection, high=min(selection.high, bound - (condition.operator == "<")))


def matching(row: Row, conditions: Sequence[Condition | Test]) -> bool:
    """Whether a row fits all of the conditions."""
    return all(item.holds(row) if isinstance(item, Condition) else item(row) for item in conditions)


def v2_conditions(filter_: Any, rename: Rename, *, groups: bool = False) -> list[Condition | Test]:
    """Reads a v2 filter: operators stand before the names of the fields.

    Args:
        filter_: The parameter as it was sent.
        rename: The field of a row that a name means.
        groups: Nested mappings are groups, joined by AND or by their `logic`. Elsewhere both are ignored, as unknown
            fields are.

    Source: https://apidocs.bitrix24.com/api-reference/how-to-call-rest-api/list-methods-pecularities.html
    """
    # PHP reads `filter[]=` as a list with an empty text: a condition that no row fulfils.
    parts = enumerate(filter_) if is_list(filter_) else as_mapping(filter_).items()
    logic, conditions = "and", list[Condition | Test]()
    for key, value in ((str(key), value) for key, value in parts):
        if key.lower() == "logic" and not is_mapping(value):
            logic = str(value).lower() if groups else logic
        elif key.isdigit() and (is_mapping(value) or not is_list(filter_)):
            # A group without conditions is none.
            if groups and (inner := v2_conditions(value, rename, groups=True)):
                conditions.append(_all_of(inner))
        elif key.isdigit():
            conditions.append(lambda _: False)
        else:
            conditions.append(_v2_condition(key, value, rename))
    return [_any_of(conditions)] if logic == "or" and conditions else conditions


def _all_of(conditions: Sequence[Condition | Test]) -> Test:
    return lambda row: matching(row, conditions)


def _any_of(conditions: Sequence[Condition | Test]) -> Test:
    return lambda row: any(matching(row, [condition]) for condition in conditions)


def _v2_condition(key: str, value: Any, rename: Rename) -> Condition:
    prefix = next((prefix for prefix in _PREFIXES if key.startswith(prefix)), "")
    field = key.removeprefix(prefix)
    operator = _V2_OPERATORS.get(prefix, prefix)
    if isinstance(value, list) and operator in {"=", "!="}:
        operator = "in" if operator == "=" else "not in"
    return Condition(rename(field), operator, value)


def v3_conditions(filter_: Any) -> list[Condition | Test]:
    """Reads a v3 filter: triples `[field, operator, value]`, pairs `[field, value]`, and groups with a logic.

    Raises:
        RestError: 400: the filter is no list, or a condition has another shape or an unknown operator.
    """
    if filter_ is None:
        return []
    if not is_list(filter_):
        raise _invalid_filter("filter must be a list of conditions")
    return [_v3_condition(item) for item in filter_]


def _v3_condition(item: Any) -> Condition | Test:
    if is_mapping(item) and "conditions" in item:
        conditions = v3_conditions(item["conditions"])
        return _group(conditions, str(item.get("logic", "and")), negative=bool(item.get("negative")))
    match item:
        case [str(field), str(operator), value] if operator.lower() in _V3_OPERATORS:
            return Condition(field, operator.lower(), value)
        case [str(field), value]:
            return Condition(field, "=", value)
        case _:
            raise _invalid_filter("a condition is [field, operator, value] or {logic, conditions, negative}")


def _group(conditions: list[Condition | Test], logic: str, *, negative: bool) -> Test:
    tests = [condition.holds if isinstance(condition, Condition) else condition for condition in conditions]
    joined = any if logic.lower() == "or" else all

    def test(row: Row) -> bool:
        return joined(check(row) for check in tests) != negative

    return test


def _invalid_filter(text: str) -> RestError:
    return RestError("BITRIX_REST_V3_EXCEPTION_INVALIDFILTEREXCEPTION", text, validation=("filter",))


def comparable(value: Any) -> tuple[int, float, str]:
    """A sort key: numbers and numeric texts by size, before any other text."""
    if value is None or isinstance(value, bool):
        return (0, float(bool(value)), "")
    try:
        return (0, float(value), "")
    except (TypeError, ValueError):
        # PHP and the database read an empty bound as zero: `>ID` of "" selects from the start.
        return (1, 0.0, str(value)) if value != "" else (0, 0.0, "")


def _as_id(value: Any) -> int:
    kind, number, _ = comparable(value)
    return int(number) if kind == 0 else 0


def _as_list(value: Any) -> list[Any]:
    if is_mapping(value):
        return list(value.values())
    return value if is_list(value) else [value]


def _is_in(value: Any, wanted: Any) -> bool:
    return comparable(value) in {comparable(item) for item in _as_list(wanted)}


def _contains(value: Any, part: Any) -> bool:
    return str(part).lower() in str(value).lower()


def _between(value: Any, bounds: Any) -> bool:
    low, high, *_ = [*_as_list(bounds), None, None]
    return comparable(low) <= comparable(value) <= comparable(high)


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda value, other: comparable(value) == comparable(other),
    "!=": lambda value, other: comparable(value) != comparable(other),
    ">": lambda value, other: comparable(value) > comparable(other),
    ">=": lambda value, other: comparable(value) >= comparable(other),
    "<": lambda value, other: comparable(value) < comparable(other),
    "<=": lambda value, other: comparable(value) <= comparable(other),
    "in": _is_in,
    "not in": lambda value, other: not _is_in(value, other),
    "contains": _contains,
    "not contains": lambda value, other: not _contains(value, other),
    "between": _between,
}
