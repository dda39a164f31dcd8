"""The REST methods that the fake portal knows, as one table of handlers; no transport, no tokens, no limits here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from b24oauth.shapes import as_mapping, is_mapping
from b24oauth.testing.bindings import Bindings, in_application
from b24oauth.testing.changes import Change, watched
from b24oauth.testing.data import ENTITIES, Entity, camel, modern, upper
from b24oauth.testing.files import FileStore, Form, disk_methods
from b24oauth.testing.lists import PAGE, aggregate, legacy_list, modern_list, tail, v2_list
from b24oauth.testing.messages import Call, Handler, Reply, RestError, Version
from b24oauth.testing.offline import OfflineQueue
from b24oauth.testing.payment import Payment
from b24oauth.testing.table import Table

__all__ = ["Facts", "Methods", "standard_methods"]

Methods = dict[tuple[Version, str], Handler]

_NOT_FOUND_V3 = "BITRIX_REST_V3_EXCEPTION_ENTITYNOTFOUNDEXCEPTION"
_V3_CAP = 1000


@attrs.frozen(kw_only=True)
class _Refusals:
    """Code and text with which a family of methods refuses a call.

    Attributes:
        not_found: There is no such record.
        no_id: The identifier is missing or no number.
        no_fields: The fields are missing or no map.
    """

    not_found: tuple[str, str]
    no_id: tuple[str, str]
    no_fields: tuple[str, str]


# Source: https://apidocs.bitrix24.com/api-reference/crm/deals/crm-deal-update.html
_OF_CRM = _Refusals(
    not_found=("", "Not found"),
    no_id=("", "ID is not defined or invalid"),
    no_fields=("", "Parameter 'fields' must be array."),
)
# Source: https://apidocs.bitrix24.com/api-reference/crm/universal/crm-item-update.html
_OF_ITEMS = _Refusals(
    not_found=("NOT_FOUND", "Item not found"),
    no_id=("100", "Could not find value for parameter {id}"),
    no_fields=("100", "Could not find value for parameter {fields}"),
)
# Source: https://apidocs.bitrix24.com/api-reference/tasks/tasks-task-update.html
_OF_TASKS = _Refusals(
    not_found=("NOT_FOUND", "Not found"),
    no_id=("0", "wrong task id"),
    no_fields=("100", "Could not find value for parameter {fields} (internal error)"),
)
# Source: https://apidocs.bitrix24.com/api-reference/rest-v3.html
_INVALID_V3 = "BITRIX_REST_V3_EXCEPTION_VALIDATION_REQUESTVALIDATIONEXCEPTION"
_OF_V3 = _Refusals(
    not_found=(_NOT_FOUND_V3, "There is no such item."),
    no_id=(_INVALID_V3, "Required field `id` is missing"),
    no_fields=(_INVALID_V3, "Required field `fields` is missing"),
)


@attrs.frozen(kw_only=True)
class Facts:
    """What methods need to know of the portal.

    Attributes:
        now: The Unix time, seconds.
        is_admin: Tells whether a user is an administrator.
        payment: How the application is paid for.
        scope: What the application may do.
        page_caps: Rows of a v3 page at most, by method.
        files: The stored files.
        file_fields: Names of the file fields by table, each with whether it holds several files.
        offline: The queue of offline events.
        bindings: What the application has registered.
    """

    now: Callable[[], float]
    is_admin: Callable[[int], bool]
    payment: Payment
    scope: str
    page_caps: Mapping[str, int]
    files: FileStore
    file_fields: Mapping[str, Mapping[str, bool]]
    offline: OfflineQueue
    bindings: Bindings

    def happened(self, change: Change) -> None:
        """A row was changed."""
        self.offline.happened(change)
        self.bindings.happened(change)


def standard_methods(tables: Mapping[str, Table], facts: Facts) -> Methods:
    """All built-in methods but `batch`, by version and name."""
    methods: Methods = {}
    methods |= _both("profile", lambda call: Reply(result=_profile(tables["user"], facts, call.user_id)))
    methods |= _v2({"user.admin": lambda call: Reply(result=facts.is_admin(call.user_id))})
    methods |= _both("server.time", lambda _: Reply(result=_server_time(facts)))
    methods |= _v2({"scope": lambda _: Reply(result=[*facts.scope.split(","), "placement"])})
    methods |= _both("app.info", in_application(lambda _: _app_info(facts)))
    methods |= _v2(_people(tables))
    methods |= _v2(_crm(tables, facts))
    methods |= _v2(_tasks(tables))
    methods |= _v2(disk_methods(facts.files))
    for name in ("tasks.task", "crm.deal", "main.eventlog"):
        methods |= _modern(name, tables[name], facts)
    methods |= watched(methods, facts.happened) | _v2(facts.offline.methods()) | _v2(facts.bindings.methods())
    methods |= _v3({"rest.documentation.openapi": lambda _: _openapi(methods)})
    return methods


def _v2(handlers: Mapping[str, Handler]) -> Methods:
    return {("v2", name): handler for name, handler in handlers.items()}


def _v3(handlers: Mapping[str, Handler]) -> Methods:
    return {("v3", name): handler for name, handler in handlers.items()}


def _both(name: str, handler: Handler) -> Methods:
    return _v2({name: handler}) | _v3({name: handler})


def _people(tables: Mapping[str, Table]) -> dict[str, Handler]:
    user, department = tables["user"], tables["department"]
    return {
        "user.current": lambda call: Reply(result=user.get(call.user_id) or {"ID": str(call.user_id)}),
        "user.get": lambda call: legacy_list(user, ENTITIES["user"], call.params),
        "department.get": lambda call: legacy_list(department, ENTITIES["department"], call.params),
    }


def _crm(tables: Mapping[str, Table], facts: Facts) -> dict[str, Handler]:
    deals, contacts = _FileFields(facts, "crm.deal", "file data"), _FileFields(facts, "crm.contact", "file data")
    handlers = _classic("crm.deal", tables["crm.deal"], None, _OF_CRM, deals)
    handlers |= _classic("crm.contact", tables["crm.contact"], None, _OF_CRM, contacts)
    handlers |= _classic("crm.item", tables["crm.item"], "item", _OF_ITEMS, _FileFields(facts, "crm.item", "pair"))
    handlers["crm.type.list"] = _listing("crm.type", tables["crm.type"], "types")
    return handlers


def _tasks(tables: Mapping[str, Table]) -> dict[str, Handler]:
    elapsed = tables["task.elapseditem"]
    handlers = _classic("tasks.task", tables["tasks.task"], "task", _OF_TASKS)
    handlers["task.elapseditem.getlist"] = lambda call: _elapsed_list(elapsed, call)
    return handlers


def _listing(name: str, table: Table, wrap: str | None) -> Handler:
    return lambda call: v2_list(table, ENTITIES[name], call.params, wrap=wrap)


class _FileFields:
    """The file fields of one table.

    Args:
        facts: Know the files, and which fields are file fields.
        table: The table's name.
        form: How its methods take files.
    """

    def __init__(self, facts: Facts, table: str, form: Form) -> None:
        self._files = facts.files
        self._multiple = facts.file_fields.get(table, {})
        self._form: Form = form

    def written(self, fields: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
        """Fields as they are stored: files by their identifiers, none where the form is wrong."""
        for name, multiple in self._multiple.items():
            if name in fields:
                held = before.get(name)
                fields[name] = self._files.written(fields[name], self._form, multiple=multiple, before=held)
        return fields

    def shown(self, row: dict[str, Any], call: Call) -> dict[str, Any]:
        """A row as one method answers it."""
        held = {name: row.get(name, [] if multiple else None) for name, multiple in self._multiple.items()}
        return row | {name: self._files.shown(value, self._form, call) for name, value in held.items()}


def _classic(
    name: str, table: Table, wrap: str | None, refusals: _Refusals, files: _FileFields | None = None
) -> dict[str, Handler]:
    """get, list, add, update and delete of v2; `wrap` is the key around one row, plural around many."""
    entity = ENTITIES[name]

    def stored(row_id: int) -> dict[str, Any]:
        row = table.get(row_id)
        if row is None:
            raise RestError(*refusals.not_found)
        return row

    def one(row_id: int, call: Call) -> Any:
        row = stored(row_id)
        row = row if files is None else files.shown(row, call)
        return {wrap: row} if wrap else row

    def written(call: Call, before: Mapping[str, Any]) -> dict[str, Any]:
        fields = _fields(call, entity, refusals)
        return fields if files is None else files.written(fields, before)

    def add(call: Call) -> Reply:
        row_id = table.add(written(call, {}))
        return Reply(result=one(row_id, call) if wrap else row_id)

    def update(call: Call) -> Reply:
        row_id = _id(call, refusals)
        table.update(row_id, written(call, stored(row_id)))
        return Reply(result=one(row_id, call) if wrap else True)

    def delete(call: Call) -> Reply:
        stored(row_id := _id(call, refusals))
        table.delete(row_id)
        return Reply(result=[] if wrap else True)

    return {
        f"{name}.get": lambda call: Reply(result=one(_id(call, refusals), call)),
        f"{name}.list": _listing(name, table, wrap and f"{wrap}s"),
        f"{name}.add": add,
        f"{name}.update": update,
        f"{name}.delete": delete,
    }


def _modern(name: str, table: Table, facts: Facts) -> Methods:
    """get, list, tail, aggregate, add, update and delete of v3."""
    entity = attrs.evolve(ENTITIES[name], rename=upper if ENTITIES[name].id_field == "ID" else camel)

    def cap(method: str) -> int:
        return facts.page_caps.get(method, _V3_CAP)

    def one(row_id: int) -> dict[str, Any]:
        row = table.get(row_id)
        if row is None:
            raise RestError(*_OF_V3.not_found, status=404)
        return {"item": modern(row)}

    def items(rows: list[Any]) -> Reply:
        return Reply(result={"items": [modern(row) for row in rows]})

    def update(call: Call) -> Reply:
        one(row_id := _id(call, _OF_V3))
        table.update(row_id, _fields(call, entity, _OF_V3))
        return Reply(result=one(row_id))

    def delete(call: Call) -> Reply:
        one(row_id := _id(call, _OF_V3))
        return Reply(result={"result": table.delete(row_id)})

    handlers: dict[str, Handler] = {
        f"{name}.get": lambda call: Reply(result=one(_id(call, _OF_V3))),
        f"{name}.list": lambda call: items(modern_list(table, entity, call.params, cap=cap(call.method))),
        f"{name}.tail": lambda call: items(tail(table, entity, call.params, cap=cap(call.method))),
        f"{name}.aggregate": lambda call: Reply(result={"result": aggregate(table, entity, call.params)}),
        f"{name}.add": lambda call: Reply(result=one(table.add(_fields(call, entity, _OF_V3)))),
        f"{name}.update": update,
        f"{name}.delete": delete,
    }
    # An event log is read, never written.
    readable = {f"{name}.{action}" for action in ("get", "list", "tail", "aggregate")}
    return _v3({key: handlers[key] for key in handlers if name != "main.eventlog" or key in readable})


def _id(call: Call, refusals: _Refusals) -> int:
    for name, value in call.params.items():
        if name.lower() in {"id", "taskid"}:
            try:
                return int(value)
            except (TypeError, ValueError):
                break
    raise RestError(*refusals.no_id, validation=("id",))


def _fields(call: Call, entity: Entity, refusals: _Refusals) -> dict[str, Any]:
    fields = next((value for name, value in call.params.items() if name.lower() == "fields"), None)
    if not is_mapping(fields):
        raise RestError(*refusals.no_fields, validation=("fields",))
    return {entity.rename(name): value for name, value in fields.items()}


def _elapsed_list(table: Table, call: Call) -> Reply:
    """`[TASKID, ORDER, FILTER, SELECT, PARAMS]`: what counts is the position, not the name.

    Source: https://apidocs.bitrix24.com/api-reference/tasks/elapsed-item/task-elapsed-item-get-list.html
    """
    given: list[Any] = [*call.params.values(), None, None, None, None, None]
    task_id, order, filter_, select, params = given[:5]
    if call.positional or not str(task_id).isdigit():
        raise RestError("WRONG_ARGUMENTS", "Param #0 (taskId) expected to be an integer")
    paging = as_mapping(as_mapping(params).get("NAV_PARAMS"))
    size = min(int(paging.get("nPageSize", PAGE)), PAGE)
    number = max(int(paging.get("iNumPage", 1)), 1)
    narrowed = {**as_mapping(filter_), "TASK_ID": task_id}
    query: dict[str, Any] = {"order": order, "filter": narrowed, "select": select, "start": (number - 1) * size}
    reply = v2_list(table, ENTITIES["task.elapseditem"], query, wrap=None)
    return Reply(result=reply.result[:size], total=reply.total)


def _profile(user: Table, facts: Facts, user_id: int) -> dict[str, Any]:
    row = user.get(user_id) or {}
    return {
        "ID": str(user_id),
        "ADMIN": facts.is_admin(user_id),
        "NAME": row.get("NAME", ""),
        "LAST_NAME": row.get("LAST_NAME", ""),
        "PERSONAL_GENDER": "",
        "TIME_ZONE": "",
    }


def _server_time(facts: Facts) -> str:
    return datetime.fromtimestamp(facts.now(), UTC).isoformat(timespec="seconds")


def _app_info(facts: Facts) -> dict[str, Any]:
    return {
        "ID": 1,
        "CODE": "local.fake",
        "VERSION": facts.bindings.version,
        "STATUS": facts.payment.status,
        "INSTALLED": facts.bindings.is_finished,
        "PAYMENT_EXPIRED": "Y" if facts.payment.is_expired else "N",
        "DAYS": facts.payment.days,
        "LANGUAGE_ID": "en",
        "LICENSE": "en_ent",
        "LICENSE_TYPE": "ent",
        "LICENSE_FAMILY": "ent",
    }


def _openapi(methods: Methods) -> Reply:
    paths = {f"/{name}": _operation(name) for version, name in methods if version == "v3"}
    schemas: dict[str, Any] = {
        name: {"type": "object", "properties": {field: {} for field in fields}, "required": list(fields[:1])}
        for name, fields in _SCHEMAS.items()
    }
    info = {"title": "Bitrix24 REST", "version": "3.0"}
    document: dict[str, Any] = {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}
    return Reply(result=document, bare=True)


_SCHEMAS = {
    "get": ("id", "select"),
    "list": ("filter", "select", "order", "pagination"),
    "tail": ("cursor", "filter", "select"),
    "aggregate": ("select", "filter"),
    "add": ("fields",),
}


def _operation(name: str) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": name, "responses": {"200": {"description": "The result"}}}
    kind = name.rpartition(".")[2]
    if kind in _SCHEMAS:
        schema = {"$ref": f"#/components/schemas/{kind}"}
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return {"post": operation}
