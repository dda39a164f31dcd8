"""The parameters of a list call: which of them belong to the walk, in any case of letters, and how they are spelled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import attrs

from b24oauth.errors import InvalidParamsError
from b24oauth.shapes import is_list, is_mapping, is_sequence, whole_number

__all__ = ["ListParameters", "Order", "check_v3_names", "has_logic", "read_parameters", "with_field"]

_ORDER_NAMES: Final = ("order", "sort", "element_order", "iblock_order")
_WALK_NAMES: Final = frozenset(
    {
        *_ORDER_NAMES,
        "filter",
        "select",
        "start",
        "page",
        "limit",
        "offset",
        "first_id",
        "last_id",
        "navparams",
        "nav_params",
    }
)
_V3_NAMES: Final = frozenset({"filter", "order", "select", "pagination", "cursor"})
Order = Literal["none", "ascending", "descending", "other"]


@attrs.frozen
class ListParameters:
    """Parameters of one list, with those of the walk apart from the others.

    Attributes:
        rest: Parameters that are sent as they were given, and the walk's own that it leaves alone.
        own: Values of the walk's parameters by their names in lower case.
        spelled: How the caller spelled these names.
        documented: How the documentation spells the method's parameters, by their names in lower case.
    """

    rest: Mapping[str, Any]
    own: Mapping[str, Any]
    spelled: Mapping[str, str]
    documented: Mapping[str, str]

    def name(self, name: str) -> str:
        """The spelling to send: the documented one, else the caller's, else lower case."""
        return self.documented.get(name) or self.spelled.get(name, name)

    def accepts(self, name: str) -> bool:
        """True when the method may have a parameter of this name: it is documented, or nothing is."""
        return not self.documented or name in self.documented

    def sent(self, **own: Any) -> dict[str, Any]:
        """All parameters under the spelling to send.

        Args:
            own: The walk's parameters that differ from the caller's; None leaves one out.
        """
        values = {**self.own, **own}
        return {**self.rest, **{self.name(name): value for name, value in values.items() if value is not None}}

    @property
    def filter(self) -> Mapping[str, Any]:
        """The caller's filter; a list of groups becomes a mapping by position, as PHP reads it.

        Raises:
            InvalidParamsError: It is something else.
        """
        value: object = self.own.get("filter") or {}
        if is_list(value) and all(map(is_mapping, value)):
            return {str(position): group for position, group in enumerate(value)}
        if not is_mapping(value):
            name = self.name("filter")
            raise InvalidParamsError(f"{name}: must be a mapping in v2, for example {{'>ID': 100}}")
        return value

    def order(self, ids: tuple[str | None, ...], *, pair: bool) -> Order:
        """The caller's order.

        Args:
            ids: Names of the identifier.
            pair: The method takes `sort` and `order` as texts.

        Raises:
            InvalidParamsError: The order cannot be read.
        """
        given = {name: self.own[name] for name in _ORDER_NAMES if self.own.get(name) not in (None, "", [], {})}
        if not given:
            return "none"
        known = {name.lower() for name in ids if name}
        if pair:
            field, direction = given.get("sort"), given.get("order", "ASC")
        elif len(given) == 1 and is_mapping(value := next(iter(given.values()))):
            # An identifier is unique, so fields after it decide nothing.
            field, direction = next(iter(value.items()))
        else:
            return "other"
        if not isinstance(field, str) or not isinstance(direction, str) or field.lower() not in known:
            return "other"
        return {"ASC": "ascending", "DESC": "descending"}.get(direction.upper(), "other")  # type: ignore[return-value]

    def ordered(self, field: str, *, descending: bool, pair: bool) -> dict[str, Any]:
        """The parameters that order rows by one field, by their names in lower case."""
        direction = "DESC" if descending else "ASC"
        if pair:
            return {"sort": field, "order": direction}
        names = [name for name in _ORDER_NAMES if name in self.documented]
        if self.documented and not names:
            return {}
        spelled = [name for name in _ORDER_NAMES if name in self.own]
        return {(names or spelled or ["order"])[0]: {field: direction}}

    @property
    def start(self) -> int | None:
        """The row at which the caller wants to start; None for the first one.

        Raises:
            InvalidParamsError: It is not a whole number.
        """
        value = self.own.get("start")
        if value is None:
            return None
        number = whole_number(value)
        if number is None and value != "-1":
            raise InvalidParamsError(f"{self.name('start')}: must be a whole number of at least 0")
        # -1 asks the portal not to count, which does not change the rows.
        if number is None or number == -1:
            return None
        if number < 0:
            raise InvalidParamsError(f"{self.name('start')}: must be a whole number of at least 0")
        return number


def read_parameters(method: str, params: Mapping[str, Any], documented: Mapping[str, str]) -> ListParameters:
    """Tells the walk's parameters from the others.

    Args:
        method: REST method, for the error.
        params: The caller's parameters, names in any case.
        documented: How the documentation spells the method's parameters.

    Raises:
        InvalidParamsError: One name is given in two spellings, of which the portal would drop one, or the order under a
            name that the method ignores.
    """
    rest: dict[str, Any] = {}
    own: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    for given, value in params.items():
        name = str(given).lower()
        if name not in _WALK_NAMES:
            rest[given] = value
            continue
        if name in spelled:
            raise InvalidParamsError(
                f"{method}: `{spelled[name]}` and `{given}` are one parameter, of which the portal would drop one: "
                "give it once"
            )
        own[name], spelled[name] = value, given
    orders = [documented[name] for name in _ORDER_NAMES if name in documented]
    for name in _ORDER_NAMES:
        if orders and own.get(name) and name not in documented:
            raise InvalidParamsError(
                f"{method}: `{spelled[name]}` would be ignored: the order belongs in `{' and '.join(orders)}`"
            )
    return ListParameters(rest, own, spelled, documented)


def check_v3_names(method: str, params: Mapping[str, Any]) -> None:
    """Refuses parameters of v3 whose names have another case of letters: the portal would ignore them.

    Raises:
        InvalidParamsError: Names the parameter.
    """
    for name in params:
        if name not in _V3_NAMES and str(name).lower() in _V3_NAMES:
            raise InvalidParamsError(
                f"{method}: `{name}` is not a parameter of v3, which spells it `{str(name).lower()}`"
            )


def with_field(select: object, field: str) -> object:
    """A `select` that also names the field by which rows are identified."""
    if not is_sequence(select):
        return select
    names = list(select)
    return names if not names or field in names or "*" in names else [*names, field]


def has_logic(filter_: object) -> bool:
    """True when a filter joins conditions by a `logic`, at any depth and in any case."""
    if is_mapping(filter_):
        return any(str(name).lower() == "logic" or has_logic(value) for name, value in filter_.items())
    return is_list(filter_) and any(map(has_logic, filter_))
