"""`b24oauth call`: one REST method."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from b24oauth.cli.connecting import Access, PortalName
from b24oauth.cli.output import AsJson, note, print_json
from b24oauth.cli.parameters import read_parameters
from b24oauth.cli.problems import UsageError

__all__ = ["call", "read_text"]


def call(
    method: str,
    /,
    *parameters: Annotated[str, Parameter(allow_leading_hyphen=True)],
    v3: bool = False,
    timeout: float | None = None,
    portal: PortalName = "",
    as_json: AsJson = False,
) -> None:
    """Call one REST method and print its result.

    Parameters are words such as select[]=ID 'filter[>OPPORTUNITY]=100' fields.TITLE=Chair. Write key:=json for a value
    that is not text, @file.json to read a JSON object from a file, and - to read it from the standard input.

    Args:
        method: REST method, for example crm.deal.get.
        parameters: Its parameters.
        v3: Call REST v3.
        timeout: Seconds for the whole call.
        portal: member_id or domain of a stored portal; not needed if one is stored.
        as_json: Print JSON for programs.
    """
    params = read_parameters(parameters, read_text)
    access = Access.from_environment(portal)
    asyncio.run(_call(access, method, params, v3=v3, timeout=timeout, as_json=as_json))


async def _call(
    access: Access, method: str, params: Mapping[str, Any], *, v3: bool, timeout: float | None, as_json: bool
) -> None:
    async with access.client() as b24:
        actions = b24.actions.v3 if v3 else b24.actions.v2
        answer = await actions.call.make(method, params, timeout=timeout)
        result = answer.raise_for_error().result
    print_json(result, compact=as_json)
    if answer.is_more():
        total = answer.get_total()
        note(f"This is one page{f' of {total} rows' if total else ''}: `b24oauth export {method}` reads all rows.")


def read_text(name: str) -> str:
    """The text of a file; ``-`` is the standard input.

    Args:
        name: Path of the file.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except OSError as error:
        problem = error.strerror or "cannot be read"
    except UnicodeDecodeError:
        problem = "is not UTF-8"
    raise UsageError(f"{name}: {problem}")
