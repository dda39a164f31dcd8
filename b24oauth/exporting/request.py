"""What is exported and to which file: the options of an export, checked. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

import attrs

from b24oauth.errors import ConfigurationError
from b24oauth.lists.choosing import ByIdentifier, choose_v2, named_params
from b24oauth.lists.kinds import Paging
from b24oauth.lists.methods import list_method
from b24oauth.lists.options import ListChoice
from b24oauth.lists.parameters import read_parameters
from b24oauth.protocol.methods import checked_method

__all__ = ["ExportRequest", "Format", "Identifier", "modified_field_of"]

Format: TypeAlias = Literal["jsonl", "csv", "parquet"]
_SUFFIXES: Final[Mapping[str, Format]] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
}
# Methods whose rows hold the time of their last change in another field than DATE_MODIFY.
# Source: https://apidocs.bitrix24.com/api-reference/crm/universal/crm-item-list.html, .../tasks/tasks-task-list.html,
# .../crm/timeline/activities/activity-base/crm-activity-list.html
_MODIFIED: Final = {
    "crm.activity.list": "LAST_UPDATED",
    "crm.item.list": "updatedTime",
    "tasks.task.list": "CHANGED_DATE",
    "user.get": "TIMESTAMP_X",
}


def modified_field_of(method: str) -> str:
    """The field in which the rows of a method hold the time of their last change, as the filter names it."""
    return _MODIFIED.get(method.lower(), "DATE_MODIFY")


def _as_format(value: object) -> Any:
    if value is not None and value not in get_args(Format):
        raise ConfigurationError(f"format must be one of {', '.join(get_args(Format))}")
    return value


def _as_limit(value: object) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ConfigurationError("limit must be a whole number of at least 1")
    return value


@attrs.frozen
class Identifier:
    """How rows are identified, so that an export can go on after the last one.

    Attributes:
        key: Field of a row.
        field: The same field as `filter` and `order` name it.
    """

    key: str
    field: str


@attrs.frozen(kw_only=True)
class ExportRequest:
    """One export.

    Attributes:
        method: List method of REST v2.
        params: Its parameters.
        to: The file. Its suffix gives the format: .jsonl, .ndjson, .csv or .parquet.
        format: The format, where the suffix does not give it.
        id_key: Field of a row that identifies it; by default as documented for the method.
        cursor_id_key: The same field as `filter` and `order` name it; by default as documented, else `id_key`.
        paging: "keyset" reads by identifier, "offset" by position; by default the documentation decides.
        descending: The greatest identifier comes first.
        limit: Rows at most.
        since: Only rows that changed since: a time with an offset from UTC, "last" for the previous run, or the path of
            a file that holds the state of the runs.
        modified_field: Field of the last change, as the filter names it; by default the documented one.
        guard_formulas: CSV only: text that a spreadsheet would run as a formula gets an apostrophe in front.
        overwrite: Replace an existing file.
        restart: Begin anew instead of going on with an export that broke.
    """

    method: str = attrs.field(converter=checked_method)
    params: Any = None
    to: Path = attrs.field(converter=Path)
    format: Format | None = attrs.field(default=None, converter=_as_format)
    id_key: str | None = None
    cursor_id_key: str | None = None
    paging: Paging | None = None
    descending: bool = False
    limit: int | None = attrs.field(default=None, converter=_as_limit)
    since: str | None = None
    modified_field: str | None = None
    guard_formulas: bool = False
    overwrite: bool = False
    restart: bool = False

    def __attrs_post_init__(self) -> None:
        if not self.to.name or self.to.is_dir():
            raise ConfigurationError(f"to: {self.to} is a folder: name a file in it")
        if self.since is None and self.modified_field is not None:
            raise ConfigurationError("modified_field is only used with since: leave it out")
        if self.guard_formulas and self.kind != "csv":
            raise ConfigurationError("guard_formulas is only used for CSV: leave it out")
        if self.since is not None:
            self._check_since()

    def _check_since(self) -> None:
        name = "limit" if self.limit is not None else "descending" if self.descending else None
        if name is not None:
            raise ConfigurationError(f"since cannot be combined with {name}: rows would be missed, leave {name} out")
        if self.identifier is None:
            raise ConfigurationError(
                f"since: {self.method} is not documented to filter by an identifier of its rows: name the field with "
                "id_key, or leave since out"
            )

    @property
    def kind(self) -> Format:
        """The format.

        Raises:
            ConfigurationError: The suffix names none.
        """
        found = self.format or _SUFFIXES.get(self.to.suffix.lower())
        if found is None:
            raise ConfigurationError(
                f"to: the suffix of {self.to.name} names no format: use {', '.join(_SUFFIXES)}, or name the format"
            )
        return found

    @property
    def identifier(self) -> Identifier | None:
        """How rows are identified; None for a list that is not read by identifier.

        Raises:
            ConfigurationError: Options that the list cannot honour.
            InvalidParamsError: A parameter that cannot be read.
        """
        options = ListChoice(
            id_key=self.id_key, cursor_id_key=self.cursor_id_key, paging=self.paging, descending=self.descending
        )
        way = choose_v2("export", self.method, self.params, options)
        insists = self.paging == "keyset" or options.named is not None
        if not isinstance(way, ByIdentifier) or (way.doubtful and not insists):
            return None
        return Identifier(way.pager.id_key, way.pager.field)

    @property
    def modified(self) -> str:
        """Field of the last change, as the filter names it."""
        return self.modified_field or modified_field_of(self.method)

    def walk_options(self, after: int | None, count: int) -> dict[str, Any]:
        """Options of `pages`, to go on after a row.

        Args:
            after: Identifier of the last row; None for a new export.
            count: Rows so far.
        """
        options: dict[str, Any] = {
            "id_key": self.id_key,
            "cursor_id_key": self.cursor_id_key,
            "paging": "keyset" if self.identifier is not None else self.paging,
            "descending": self.descending,
            "start_after": after,
            "max_items": None if self.limit is None else self.limit - count,
        }
        return {name: value for name, value in options.items() if value not in (None, False)}

    def fingerprint(self) -> str:
        """A digest of everything that decides which rows are exported and how they are written.

        Values themselves are not stored beside a file: they may be personal data.
        """
        names = ("id_key", "cursor_id_key", "paging", "descending", "limit", "since", "modified_field")
        facts = {name: getattr(self, name) for name in (*names, "guard_formulas", "params")}
        text = json.dumps(facts, sort_keys=True, default=str, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def filter_fingerprint(self) -> str:
        """A digest of the parameters and the field of the last change, which all runs with one state have in common."""
        text = json.dumps([self.params, self.modified], sort_keys=True, default=str, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def params_since(self, moment: str | None) -> dict[str, Any]:
        """The parameters with a condition for the last change, and with the field of it among the selected ones.

        Args:
            moment: Rows that changed at this time or later; None: all rows.

        Raises:
            ConfigurationError: The caller's filter has the same condition.
        """
        given = dict(named_params(self.method, self.params))
        own = {str(name).lower(): name for name in given}
        filter_name, select_name = own.get("filter", "filter"), own.get("select", "select")
        filter_: dict[str, Any] = dict(given.get(filter_name) or {})
        condition = f">={self.modified}"
        if any(str(name).lower() == condition.lower() for name in filter_):
            raise ConfigurationError(f"filter: {condition} is what since adds: leave one of them out")
        if moment is not None:
            given[filter_name] = {**filter_, condition: moment}
        select = list(given.get(select_name) or [])
        if select and "*" not in select and self.modified not in select:
            given[select_name] = [*select, self.modified]
        return given

    def params_by_change(self) -> dict[str, Any]:
        """The parameters of one page, the latest change first."""
        facts = list_method(self.method)
        parameters = read_parameters(self.method, self.params_since(None), facts.names)
        order = parameters.ordered(self.modified, descending=True, pair=facts.order == "pair")
        return parameters.sent(**order, start=-1)

    @property
    def is_positional(self) -> bool:
        """True for a method that takes its parameters by position."""
        return list_method(self.method).positional is not None
