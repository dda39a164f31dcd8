"""What the fake portal's rows look like: synthetic values, made from the id alone, in the spelling of REST v2."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import attrs

from b24oauth.testing.table import Table

__all__ = ["ENTITIES", "Entity", "camel", "make_tables", "modern", "upper"]

_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")
_STAGES = ("NEW", "PREPARATION", "EXECUTING", "WON", "LOSE")
_NAMES = ("Anna", "Boris", "Clara", "Dmitry", "Elena", "Felix", "Galina", "Hugo")
# After so many ids months, days, hours and minutes of the dates begin anew.
_DATES = 840
_SURNAMES = ("Abramova", "Berg", "Costa", "Demidov", "Egorova", "Fischer", "Gromov", "Hansen", "Ivanova")


def camel(field: str) -> str:
    """`STAGE_ID` as `stageId`; a name that has small letters stays as it is."""
    if field != field.upper():
        return field
    first, *rest = field.lower().split("_")
    return first + "".join(part.capitalize() for part in rest)


def upper(field: str) -> str:
    """`stageId` as `STAGE_ID`."""
    return _CAPITAL.sub(r"_\1", field).upper()


def modern(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as v3 spells it: names in camel case, ids as numbers."""
    return {name: _number(name, value) for name, value in ((camel(field), row[field]) for field in row)}


def _number(name: str, value: Any) -> Any:
    is_id = name == "id" or name.endswith("Id")
    return int(value) if is_id and isinstance(value, str) and value.isdigit() else value


def _date(row_id: int) -> str:
    return _date_of(row_id % _DATES)


@cache
def _date_of(row_id: int) -> str:
    return f"2024-{row_id % 12 + 1:02}-{row_id % 28 + 1:02}T{row_id % 24:02}:{row_id % 60:02}:00+03:00"


def _deal(row_id: int) -> dict[str, Any]:
    return {
        "ID": str(row_id),
        "TITLE": f"Deal {row_id}",
        "TYPE_ID": "SALE",
        "CATEGORY_ID": "0",
        "STAGE_ID": _STAGES[row_id % 5],
        "OPPORTUNITY": f"{row_id % 1000 * 100}.00",
        "CURRENCY_ID": "EUR",
        "CONTACT_ID": str(row_id % 50 + 1),
        "ASSIGNED_BY_ID": str(row_id % 7 + 1),
        "OPENED": "Y",
        "CLOSED": "Y" if row_id % 5 > 2 else "N",
        "COMMENTS": None,
        "DATE_CREATE": _date(row_id),
        "DATE_MODIFY": _date(row_id + 1),
    }


def _contact(row_id: int) -> dict[str, Any]:
    phone = {"ID": str(row_id), "VALUE_TYPE": "WORK", "VALUE": f"+49 30 {row_id:07}", "TYPE_ID": "PHONE"}
    return {
        "ID": str(row_id),
        "NAME": _NAMES[row_id % 8],
        "LAST_NAME": _SURNAMES[row_id % 9],
        "TYPE_ID": "CLIENT",
        "HAS_PHONE": "Y",
        "PHONE": [phone],
        "ASSIGNED_BY_ID": str(row_id % 7 + 1),
        "DATE_CREATE": _date(row_id),
    }


def _item(row_id: int) -> dict[str, Any]:
    return {
        "id": row_id,
        "title": f"Item {row_id}",
        "categoryId": 1,
        "stageId": f"DT128_1:{_STAGES[row_id % 5]}",
        "opportunity": row_id % 1000 * 100,
        "currencyId": "EUR",
        "assignedById": row_id % 7 + 1,
        "createdTime": _date(row_id),
        "entityTypeId": 128,
    }


def _type(row_id: int) -> dict[str, Any]:
    return {"id": row_id, "title": f"Process {row_id}", "entityTypeId": 126 + 2 * row_id, "createdTime": _date(row_id)}


def _task(row_id: int) -> dict[str, Any]:
    return {
        "id": str(row_id),
        "title": f"Task {row_id}",
        "description": "",
        "status": str(row_id % 5 + 1),
        "priority": str(row_id % 3),
        "responsibleId": str(row_id % 7 + 1),
        "creatorId": "1",
        "groupId": "0",
        "createdDate": _date(row_id),
    }


def _elapsed(row_id: int) -> dict[str, Any]:
    return {
        "ID": str(row_id),
        "TASK_ID": str(row_id % 10 + 1),
        "USER_ID": str(row_id % 7 + 1),
        "MINUTES": str(row_id % 90),
        "SECONDS": str(row_id % 90 * 60),
        "COMMENT_TEXT": "",
        "CREATED_DATE": _date(row_id),
    }


def _user(row_id: int) -> dict[str, Any]:
    return {
        "ID": str(row_id),
        "ACTIVE": True,
        "NAME": _NAMES[row_id % 8],
        "LAST_NAME": _SURNAMES[row_id % 9],
        "EMAIL": f"user{row_id}@example.com",
        "USER_TYPE": "employee",
        "UF_DEPARTMENT": [row_id % 5 + 1],
        "DATE_REGISTER": _date(row_id),
    }


def _department(row_id: int) -> dict[str, Any]:
    return {"ID": str(row_id), "NAME": f"Department {row_id}", "SORT": 500, "PARENT": str(row_id // 2)}


def _event(row_id: int) -> dict[str, Any]:
    return {
        "id": row_id,
        "timestampX": _date(row_id),
        "severity": ("INFO", "SECURITY", "WARNING")[row_id % 3],
        "auditTypeId": "USER_AUTHORIZE",
        "moduleId": "main",
        "itemId": str(row_id % 7 + 1),
        "userId": row_id % 7 + 1,
        "remoteAddr": f"198.51.100.{row_id % 250 + 1}",
    }


@attrs.frozen(kw_only=True)
class Entity:
    """One kind of row.

    Attributes:
        make: Makes a row of its id.
        id_field: Name of the id in a row.
        rename: The field of a row that a name in `filter`, `order` or `select` means.
        size: How many rows there are unless a test says otherwise.
        groups: Filters take nested groups and `logic`.
    """

    make: Callable[[int], dict[str, Any]]
    id_field: str = "ID"
    rename: Callable[[str], str] = str
    size: int = 120
    groups: bool = False


ENTITIES: Mapping[str, Entity] = {
    "crm.deal": Entity(make=_deal),
    "crm.contact": Entity(make=_contact),
    "crm.item": Entity(make=_item, id_field="id", groups=True),
    "crm.type": Entity(make=_type, id_field="id", size=3, groups=True),
    "tasks.task": Entity(make=_task, id_field="id", rename=camel),
    "task.elapseditem": Entity(make=_elapsed),
    "user": Entity(make=_user, size=7),
    "department": Entity(make=_department, size=5),
    "main.eventlog": Entity(make=_event, id_field="id"),
}


def make_tables(sizes: Mapping[str, int]) -> dict[str, Table]:
    """The portal's tables, by the first part of their methods' names.

    Args:
        sizes: Number of rows where it differs from the usual one.

    Raises:
        ValueError: There is no such table.
    """
    unknown = sorted(set(sizes) - set(ENTITIES))
    if unknown:
        raise ValueError(f"rows: no table {', '.join(unknown)}; there are {', '.join(sorted(ENTITIES))}")
    return {
        name: Table(entity.make, entity.id_field, range(1, sizes.get(name, entity.size) + 1))
        for name, entity in ENTITIES.items()
    }
