"""Columns of a table: which there are, of which type, and how the values of Bitrix24 fit. Pure.

A value never loses anything by its type. One that does not fit makes its column text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

import attrs

from b24oauth.exporting.values import as_text
from b24oauth.shapes import is_list, is_mapping

__all__ = ["Column", "ColumnSet", "Kind", "UnfitError", "normalized", "read_fields"]

Kind: TypeAlias = Literal["text", "integer", "number", "boolean", "date", "datetime"]
# Types of fields whose values are numbers, flags and times. Values of all other types are text, or JSON as text.
# Source: https://apidocs.bitrix24.com/api-reference/data-types.html
_KINDS: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(
        ("integer", "int", "user", "employee", "enumeration", "iblock_element", "iblock_section"), "integer"
    ),
    **dict.fromkeys(("crm_company", "crm_contact", "crm_lead", "crm_deal", "crm_quote", "crm_category"), "integer"),
    **dict.fromkeys(("double", "float"), "number"),
    "boolean": "boolean",
    "date": "date",
    "datetime": "datetime",
}
_WHOLE: Final = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_NUMBER: Final = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][-+]?[0-9]{1,3})?", re.ASCII)
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[-+][0-9]{2}:?[0-9]{2})", re.ASCII
)
_FLAGS: Final[Mapping[str, bool]] = {"Y": True, "N": False, "1": True, "0": False}
_INTEGERS: Final = range(-(2**63), 2**63)
# Up to here a float has every whole number.
_EXACT: Final = 2**53


class UnfitError(ValueError):
    """A value does not fit the type of its column."""


@attrs.frozen
class Column:
    """One column.

    Attributes:
        name: Its name.
        kind: Type of its values.
        multiple: A value is a list of such values.
    """

    name: str
    kind: Kind = "text"
    multiple: bool = False

    def read(self, value: Any) -> Any:
        """A value as its type has it; None for an empty one.

        Raises:
            UnfitError: It does not fit without a loss.
        """
        if not self.multiple:
            return _read(self.kind, value)
        if value is None:
            return None
        if value is False or value == "":
            return []
        if is_mapping(value) and all(str(key).isdigit() for key in value):
            value = list(value.values())  # PHP writes a list with gaps as a mapping by position
        if not is_list(value):
            raise UnfitError
        return [_read(self.kind, item) for item in value]


@attrs.define
class ColumnSet:
    """The columns of the rows that were seen, in the order in which they came.

    Attributes:
        declared: Columns by their normalized names, as the portal declares them.
        columns: Columns by name.
        unfit: Names of the columns that are text because a value did not fit.
        rows: Rows that were seen.
    """

    declared: Mapping[str, Column] = attrs.field(factory=dict[str, Column])
    columns: dict[str, Column] = attrs.field(factory=dict[str, Column])
    unfit: list[str] = attrs.field(factory=list[str])
    rows: int = 0

    def see(self, row: Mapping[str, Any]) -> None:
        """Adds the columns of a row."""
        self.rows += 1
        if not row.keys() <= self.columns.keys():
            for name in row:
                if name not in self.columns:
                    self.add(name)

    def fit(self, row: Mapping[str, Any]) -> None:
        """Makes those columns text that a row does not fit."""
        for name, value in row.items():
            column = self.columns[name]
            if column.multiple or column.kind != "text":
                try:
                    column.read(value)
                except UnfitError:
                    self.columns[name] = Column(name)
                    self.unfit.append(name)

    def add(self, name: str) -> Column:
        """Adds a column, of the declared type if there is one."""
        declared = self.declared.get(normalized(name))
        column = Column(name) if declared is None else attrs.evolve(declared, name=name)
        self.columns[name] = column
        return column

    def ordered(self, first: Iterable[str]) -> list[Column]:
        """The columns, beginning with some by their normalized names.

        Args:
            first: Names in any spelling; columns that are not there are left out.
        """
        spelled = {normalized(name): name for name in self.columns}
        chosen = dict.fromkeys(spelled[normalized(name)] for name in first if normalized(name) in spelled)
        return [self.columns[name] for name in {**chosen, **dict.fromkeys(self.columns)}]


def normalized(name: str) -> str:
    """The name of a field regardless of its spelling: STAGE_ID and stageId are one field."""
    return name.replace("_", "").lower()


def read_fields(result: object) -> dict[str, Column]:
    """The columns that a method such as `crm.deal.fields` declares, by their normalized names.

    Args:
        result: Its result; the fields may be inside the only value of it.

    Source: https://apidocs.bitrix24.com/api-reference/crm/deals/crm-deal-fields.html
    """
    if is_mapping(result) and len(result) == 1:
        [inner] = result.values()
        if is_mapping(inner) and inner and all(is_mapping(facts) for facts in inner.values()):
            result = inner
    columns: dict[str, Column] = {}
    twice: set[str] = set()
    for name, facts in result.items() if is_mapping(result) else ():
        kind = facts.get("type") if is_mapping(facts) else None
        if isinstance(kind, str) and is_mapping(facts):
            key = normalized(str(name))
            twice.update({key} & columns.keys())
            multiple = facts.get("isMultiple") in (True, "Y", "1", 1)
            columns[key] = Column(str(name), _KINDS.get(kind.lower(), "text"), multiple)
    return {key: column for key, column in columns.items() if key not in twice}


def _read(kind: Kind, value: Any) -> Any:
    if kind == "text":
        return as_text(value)
    # Bitrix24 writes an empty value as null, "", false or an empty list.
    if value is None or value in ("", []) or (value is False and kind != "boolean"):
        return None
    return _READERS[kind](value)


def _read_integer(value: Any) -> int:
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value in _INTEGERS:
        return value
    raise UnfitError


def _read_number(value: Any) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        number = float(value)
        if Decimal(repr(number)) == Decimal(value):
            return number
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _EXACT:
        return float(value)
    elif isinstance(value, float):
        return value
    raise UnfitError


def _read_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    flag = _FLAGS.get(str(value)) if isinstance(value, (str, int)) else None
    if flag is None:
        raise UnfitError
    return flag


def _read_datetime(value: Any) -> datetime:
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            pass  # 31 February, or a year that UTC does not have
    raise UnfitError


def _read_date(value: Any) -> date:
    if isinstance(value, str) and _DAY.match(value):
        try:
            if _DAY.fullmatch(value):
                return date.fromisoformat(value)
            if _MOMENT.fullmatch(value):
                # A day may be sent as its midnight, in the time zone of the portal or in UTC.
                moment = datetime.fromisoformat(value)
                if time.min in (moment.time(), moment.astimezone(UTC).time()):
                    return moment.date()
        except (ValueError, OverflowError):
            pass  # there is no such day
    raise UnfitError


_READERS: Final[Mapping[Kind, Callable[[Any], Any]]] = {
    "integer": _read_integer,
    "number": _read_number,
    "boolean": _read_boolean,
    "date": _read_date,
    "datetime": _read_datetime,
}
