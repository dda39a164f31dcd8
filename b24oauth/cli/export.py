"""`b24oauth export`: all rows of a list method to a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from b24oauth.cli.connecting import Access, PortalName
from b24oauth.cli.export_run import STDOUT, ExportRun, read_conditions
from b24oauth.cli.output import AsJson
from b24oauth.cli.problems import UsageError
from b24oauth.errors import ConfigurationError, InvalidParamsError
from b24oauth.exporting import ExportRequest, Format
from b24oauth.lists.methods import list_method
from b24oauth.shapes import is_mapping

__all__ = ["export", "list_params"]


def export(
    method: str,
    /,
    *,
    to: Annotated[str, Parameter(allow_leading_hyphen=True)],
    format: Format | None = None,  # noqa: A002 - the name of the option
    select: str | None = None,
    filter: Annotated[list[str] | None, Parameter(negative_iterable=())] = None,  # noqa: A002 - as above
    params: str | None = None,
    since: str | None = None,
    modified_field: str | None = None,
    descending: bool = False,
    limit: int | None = None,
    id_key: str | None = None,
    cursor_id_key: str | None = None,
    paging: Literal["keyset", "offset"] | None = None,
    guard_formulas: bool = False,
    overwrite: bool = False,
    restart: bool = False,
    plain: bool = False,
    portal: PortalName = "",
    as_json: AsJson = False,
) -> int:
    """Export all rows of a list method to a file.

    An export that ended early, even by kill -9, goes on after the last row that is on the disk: run the same command
    again.

    Args:
        method: List method of REST v2, for example crm.deal.list.
        to: The file, such as deals.jsonl, deals.csv or deals.parquet; - writes to the standard output.
        format: Format of the file, where its suffix does not give it.
        select: Fields, with commas between: ID,TITLE.
        filter: A condition, such as '>OPPORTUNITY=100'; may be given several times.
        params: All parameters as JSON, for methods that need others.
        since: Only rows that changed since a time with an offset from UTC, or since the previous run ("last").
        modified_field: Field of the last change, as the filter names it.
        descending: The greatest identifier comes first.
        limit: Rows at most.
        id_key: Field of a row that identifies it.
        cursor_id_key: The same field as the filter names it.
        paging: Read by identifier or by position; by default the documentation of the method decides.
        guard_formulas: CSV: text that a spreadsheet would run as a formula gets an apostrophe in front.
        overwrite: Replace an existing file.
        restart: Begin anew instead of going on with an export that ended early.
        plain: Lines instead of a progress bar.
        portal: member_id or domain of a stored portal; not needed if one is stored.
        as_json: Print JSON for programs.
    """
    try:
        request = ExportRequest(
            method=method,
            params=list_params(method, params, select, filter or []),
            to=Path(to),
            format="jsonl" if format is None and to == STDOUT else format,
            id_key=id_key,
            cursor_id_key=cursor_id_key,
            paging=paging,
            descending=descending,
            limit=limit,
            since=since,
            modified_field=modified_field,
            guard_formulas=guard_formulas,
            overwrite=overwrite,
            restart=restart,
        )
    except (ConfigurationError, InvalidParamsError) as error:
        problem = error.message
    else:
        access = Access.from_environment(portal)
        return ExportRun(request=request, open_client=access.client, as_json=as_json, plain=plain).run()
    raise UsageError(problem)


def list_params(method: str, params: str | None, select: str | None, conditions: list[str]) -> Any:
    """The parameters of a list from the options.

    Args:
        method: List method.
        params: A JSON mapping, or a JSON list for a method that takes its parameters by position.
        select: Fields with commas between.
        conditions: Conditions of the filter.

    Raises:
        ConfigurationError: An option cannot be read, or the same is said twice.
    """
    try:
        given: Any = json.loads(params) if params is not None else {}
    except ValueError:
        raise ConfigurationError("--params must be JSON, such as '{\"entityTypeId\": 128}'") from None
    own = {
        "select": [name.strip() for name in select.split(",") if name.strip()] if select is not None else None,
        "filter": read_conditions(conditions) or None,
    }
    added = {name: value for name, value in own.items() if value is not None}
    if not added:
        return given
    if not is_mapping(given) or list_method(method).positional is not None:
        raise ConfigurationError(
            f"{method} takes its parameters by position: give all of them with --params, and no --select and --filter"
        )
    twice = [name for name in added if any(str(key).lower() == name for key in given)]
    if twice:
        raise ConfigurationError(f"--{twice[0]} and `{twice[0]}` of --params are one parameter: give it once")
    return {**given, **added}
