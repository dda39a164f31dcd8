"""Chooses how a list is read: from the documented facts, the caller's parameters and the options. Sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from b24oauth.errors import ConfigurationError, InvalidParamsError, SdkError
from b24oauth.lists.keyset import KeysetPager
from b24oauth.lists.methods import ListMethod, list_method
from b24oauth.lists.offset import OffsetPager
from b24oauth.lists.options import ListChoice, TailChoice
from b24oauth.lists.pagers import LastIdPager, NavPager, SinglePager, TailPager, V3KeysetPager, V3OffsetPager
from b24oauth.lists.pages import RowsReader
from b24oauth.lists.paging import PAGE_SIZE, Pager
from b24oauth.lists.parameters import ListParameters, check_v3_names, has_logic, read_parameters, with_field
from b24oauth.shapes import is_mapping, is_sequence, whole_number

__all__ = ["ByIdentifier", "choose_tail", "choose_v2", "choose_v3"]

# Parameters of a v3 list, and what tails have instead of them.
_OF_THE_TAIL: Final = {"cursor": "cursor_field and initial_value", "order": "order", "pagination": "limit"}
# Methods whose conditions may stand on the top level instead of in the filter, and what stands there besides.
# Source: https://apidocs.bitrix24.com/api-reference/user/user-get.html
_CONDITIONS_BESIDE: Final = frozenset({"user.get", "user.search"})
_NO_CONDITIONS: Final = frozenset({"admin_mode"})
# A multiple of the usual sizes of a page.
_WHOLE_PAGES: Final = 100


@attrs.frozen(kw_only=True)
class ByIdentifier:
    """A walk by identifier, and what to do where the portal does not follow it.

    Attributes:
        pager: Builds the requests of the walk.
        page_size: Rows of a full page; None: not documented.
        by_position: Makes the walk by position that takes over.
        insists: The caller insists on the walk by identifier.
        doubtful: That the method filters by the field is not documented, so an empty first page proves nothing.
    """

    pager: KeysetPager
    page_size: int | None
    by_position: Callable[[], OffsetPager]
    insists: bool
    doubtful: bool


def choose_v2(action: str, method: str, params: object, options: ListChoice) -> ByIdentifier | Pager:
    """How a v2 list is read.

    Args:
        action: Name of the action, for errors.
        method: REST method.
        params: The caller's parameters.
        options: The caller's options, each of its kind.

    Raises:
        ConfigurationError: Options that the list cannot honour, or parameters of another kind.
        InvalidParamsError: A parameter that cannot be read.
    """
    facts = list_method(method)
    _check_not_consumed(action, facts, method)
    given_key = options.custom_key_for_result
    reader = RowsReader(
        method,
        facts.rows_key if given_key is None else given_key,
        by_code=facts.shape == "codes",
        certain=given_key is not None,
    )
    paging = options.paging
    if paging == "nav" or facts.positional is not None or is_sequence(params):
        return _positional(action, params, facts, reader, options)
    parameters = read_parameters(method, named_params(method, params), facts.names)
    for name in () if facts.paging in ("last", "least") else ("first_id", "last_id"):
        if name in facts.names and parameters.own.get(name) is not None:
            raise InvalidParamsError(
                f"{method}: `{parameters.spelled[name]}` makes the method page in another way than a walk: leave it "
                "out, or use call.make page by page"
            )
    id_key = _documented(options.id_key, facts.id_key)
    field = _documented(options.named, facts.cursor_key) or id_key or "ID"
    named = options.named is not None
    if named or id_key or paging == "keyset":
        # The walk goes by this field, or tells by it which rows it has read before.
        select = with_field(parameters.own.get("select"), field)
        parameters = attrs.evolve(parameters, own={**parameters.own, "select": select})
    pair = facts.order == "pair"
    order = parameters.order((id_key, field), pair=pair)
    descending = options.descending or order == "descending"
    start_after = options.start_after
    filter_: object = parameters.own.get("filter")
    grouped = has_logic(filter_)

    # What a walk by identifier cannot honour.
    against = [
        *(["an order by another field"] if order == "other" else []),
        *(["`start`, `page` or `offset`"] if _starts_somewhere(parameters) else []),
        *(["conditions beside its filter"] if _has_conditions_beside(method, parameters) else []),
        *(["a filter with `logic`"] if grouped and not facts.joins_by_or else []),
        *(["descending=True and an ascending order"] if options.descending and order == "ascending" else []),
    ]
    wants_keyset = paging == "keyset" or start_after is not None or options.descending
    if wants_keyset and (against or paging == "offset"):
        reason = " and ".join(against) or 'paging="offset"'
        name = 'paging="keyset"' if paging == "keyset" else "start_after" if start_after is not None else "descending"
        raise ConfigurationError(f"{action}: {method}: {name} cannot be combined with {reason}: leave one of them out")
    possible = facts.cursor_key is not None or named or paging == "keyset"
    if wants_keyset and not possible:
        raise ConfigurationError(
            f"{action}: {method} is not documented to filter by an identifier, which start_after and descending need: "
            'name the field with id_key, or pass paging="keyset"'
        )
    if paging == "offset" or against or not possible:
        if facts.paging in ("last", "least"):
            return _last_id(action, parameters, facts, reader, options)
        return _offset(parameters, facts, reader, options)

    pager = KeysetPager(
        method=method,
        parameters=parameters,
        reader=reader,
        id_key=id_key or field,
        field=field,
        pair=pair,
        wraps=is_mapping(filter_) and any(str(name).lower() == "logic" for name in filter_),
        descending=descending,
        cursor=_cursor(start_after, descending=descending),
    )

    def by_position() -> OffsetPager:
        own = {**parameters.own, **parameters.ordered(field, descending=descending, pair=pair)}
        return _offset(attrs.evolve(parameters, own=own), facts, attrs.evolve(reader), options)

    return ByIdentifier(
        pager=pager,
        # A caller's own `limit` may make pages of another size.
        page_size=None if "limit" in parameters.own else facts.page_size,
        by_position=by_position,
        # A portal that does not follow the caller's own bound would return rows outside of it.
        insists=wants_keyset or pager.is_bounded,
        doubtful=(facts.is_unsure or (named and field != facts.cursor_key)) and not pager.is_bounded,
    )


def choose_v3(action: str, method: str, params: object, options: ListChoice) -> Pager:
    """How a v3 list is read; arguments and errors as for `choose_v2`.

    Raises:
        SdkError: The filter has the form of v2.
    """
    _check_not_consumed(action, list_method(method), method)
    given = dict(named_params(method, params))
    check_v3_names(method, given)
    if "cursor" in given:
        raise InvalidParamsError(f"{method}: `cursor` belongs to tails; lists take start_after, descending and limit")
    if is_mapping(given.get("filter")):
        raise SdkError(
            f"{action}: `filter` must be a list in v3, for example [['id', '>', 100]] or FilterV3.build(...); "
            "the cursor cannot be added to the mapping of v2",
            code="B24OAUTH_ACTION_V3_LIST_FILTER_NOT_ARRAY",
            status=500,
        )
    if given.get("filter") is not None and not is_sequence(given["filter"]):
        raise InvalidParamsError(f"{method}: `filter` must be a list of conditions, for example [['id', '>', 100]]")
    id_key = options.id_key or "id"
    field = options.named or id_key
    window: Any = given.pop("pagination", None) or {}
    if not is_mapping(window) or not set(window) <= {"page", "limit", "offset"}:
        raise InvalidParamsError(
            f"{method}: `pagination` must be a mapping of page, limit and offset, for example {{'limit': 50}}"
        )
    limit = options.limit or _window_number(window, "limit") or PAGE_SIZE
    page, offset = _window_number(window, "page"), _window_number(window, "offset")
    parameters = ListParameters({}, {name: given[name] for name in ("order",) if name in given}, {}, {})
    order = parameters.order((id_key, field), pair=False)
    reader = _v3_reader(method, options)
    start_after, descending = options.start_after, options.descending
    if "select" in given:
        given["select"] = with_field(given["select"], field)
    if order == "other" or (page or 0) > 1 or offset:
        if start_after is not None or descending:
            raise ConfigurationError(
                f"{action}: {method}: start_after and descending cannot be combined with an order by another field, or "
                "with a page or offset in `pagination`: leave one of them out"
            )
        return V3OffsetPager(
            method=method,
            params=given,
            reader=reader,
            id_key=id_key,
            limit=limit,
            begin=offset or (max((page or 1) - 1, 0) * limit),
            allow_changes=options.allow_changes,
        )
    if descending and order == "ascending":
        raise ConfigurationError(
            f"{action}: {method}: descending cannot be combined with an ascending order: leave one of them out"
        )
    descending = descending or order == "descending"
    return V3KeysetPager(
        method=method,
        params=given,
        reader=reader,
        id_key=id_key,
        field=field,
        limit=limit,
        allow_changes=options.allow_changes,
        descending=descending,
        cursor=_cursor(start_after, descending=descending),
    )


def choose_tail(action: str, method: str, params: object, options: TailChoice) -> TailPager:
    """How a v3 tail is read; arguments and errors as for `choose_v2`.

    Raises:
        SdkError: "DESC" without `initial_value`.
    """
    _check_not_consumed(action, list_method(method), method)
    given = dict(named_params(method, params))
    check_v3_names(method, given)
    for name, option in _OF_THE_TAIL.items():
        if name in given:
            raise InvalidParamsError(f"{method}: `{name}` is not a parameter of a tail: use the option {option}")
    field, order = options.cursor_field, options.order
    value = options.initial_value
    if order.upper() == "DESC" and value is None:
        name = "CALL_TAIL" if action.startswith("call") else "FETCH_TAIL"
        raise SdkError(
            f'{action}: order "DESC" needs an `initial_value` to start from: the newest or the highest value',
            code=f"B24OAUTH_CORE_B24_{name}_DESC_REQUIRES_INITIAL_VALUE",
            status=500,
        )
    if "select" in given:
        given["select"] = with_field(given["select"], field)
    return TailPager(
        method=method,
        params=given,
        reader=_v3_reader(method, options),
        field=field,
        order=order,
        value=0 if value is None else value,
        limit=options.limit,
    )


def named_params(method: str, params: object) -> Mapping[str, Any]:
    """The parameters of a list, which have names.

    Raises:
        ConfigurationError: They are something else.
    """
    if params is None:
        return {}
    if not is_mapping(params):
        raise ConfigurationError(f"{method}: its params must be a mapping, not {type(params).__name__}")
    return params


def _documented(given: str | None, documented: str | None) -> str | None:
    """The caller's name of a field, in the documented spelling where they differ by case only."""
    same = given is None or (documented is not None and given.lower() == documented.lower())
    return documented if same else given


def _check_not_consumed(action: str, facts: ListMethod, method: str) -> None:
    if facts.paging == "consumed":
        raise ConfigurationError(
            f"{action}: {method} confirms or reserves rows by reading them, so it cannot be walked: use call.make"
        )


def _v3_reader(method: str, options: ListChoice | TailChoice) -> RowsReader:
    return RowsReader(method, options.custom_key_for_result or "items", certain=True)


def _positional(action: str, params: Any, facts: ListMethod, reader: RowsReader, options: ListChoice) -> Pager:
    method = reader.method
    unfit = [name for name in ("start_after", "descending") if getattr(options, name)]
    if unfit or options.paging in ("keyset", "offset"):
        raise ConfigurationError(
            f"{action}: {method} takes its parameters by position, so it cannot be walked with "
            f"{' and '.join(unfit) or 'another paging'}: leave it out"
        )
    if facts.paging != "nav" and options.paging != "nav":
        if facts.positional is None:
            named_params(method, params)
        return SinglePager(method=method, params=params or {}, reader=reader)
    position = 0 if facts.positional is None else facts.positional
    pager = NavPager(
        method=method,
        params=params or {},
        reader=reader,
        position=position,
        allow_changes=options.allow_changes,
    )
    navigation = pager.own.get("NAV_PARAMS")
    if is_mapping(navigation) and navigation.get("iNumPage") not in (None, 1, "1"):
        raise ConfigurationError(f"{action}: {method}: the walk begins at the first page: leave iNumPage out")
    return pager


def _last_id(
    action: str, parameters: ListParameters, facts: ListMethod, reader: RowsReader, options: ListChoice
) -> LastIdPager:
    method, name = reader.method, parameters.name("last_id")
    if options.paging == "offset":
        raise ConfigurationError(f'{action}: {method} pages by `{name}` only: leave paging="offset" out')
    value = parameters.own.get("last_id")
    if value is not None and whole_number(value) is None:
        raise InvalidParamsError(f"{name}: must be an identifier")
    return LastIdPager(
        method=method,
        parameters=parameters,
        reader=reader,
        id_key=options.id_key or facts.id_key or "id",
        least=facts.paging == "least",
        page_size=None if "limit" in parameters.own else facts.page_size,
        value=whole_number(value),
        bound=whole_number(parameters.own.get("first_id")),
    )


def _offset(parameters: ListParameters, facts: ListMethod, reader: RowsReader, options: ListChoice) -> OffsetPager:
    skip = 0
    if facts.paging in ("page", "offset"):
        value = _paging_value(parameters, facts)
        begin = whole_number(value) if value is not None else None
        if begin is None and value is not None:
            raise InvalidParamsError(f"{parameters.name(facts.paging)}: must be a whole number")
        begin = begin or (1 if facts.paging == "page" else 0)
    else:
        # Many methods round a `start` between two pages down to the first row of its page.
        skip = (parameters.start or 0) % (facts.page_size or _WHOLE_PAGES)
        begin = (parameters.start or 0) - skip
    return OffsetPager(
        method=reader.method,
        parameters=parameters,
        reader=reader,
        facts=facts,
        id_key=options.id_key or facts.id_key,
        begin=begin,
        skip=skip,
        allow_changes=options.allow_changes,
    )


def _paging_value(parameters: ListParameters, facts: ListMethod) -> object:
    if not facts.inside:
        return parameters.own.get(facts.paging)
    inside = facts.inside.lower()
    container = next((value for name, value in parameters.rest.items() if name.lower() == inside), None)
    parts = container.items() if is_mapping(container) else ()
    return next((value for name, value in parts if name.lower() == facts.paging), None)


def _has_conditions_beside(method: str, parameters: ListParameters) -> bool:
    """True for parameters that a method takes as conditions, and ignores as soon as there is a filter beside them."""
    return method.lower() in _CONDITIONS_BESIDE and any(
        str(name).lower() not in _NO_CONDITIONS for name in parameters.rest
    )


def _starts_somewhere(parameters: ListParameters) -> bool:
    return parameters.start is not None or any(parameters.own.get(name) is not None for name in ("page", "offset"))


def _cursor(start_after: object, *, descending: bool) -> int | None:
    if start_after is not None:
        return whole_number(start_after)
    return None if descending else 0


def _window_number(window: Mapping[str, Any], name: str) -> int | None:
    value = window.get(name)
    number = whole_number(value)
    if value is not None and (number is None or number < 0):
        raise InvalidParamsError(f"pagination.{name}: must be a whole number of at least 0")
    return number
