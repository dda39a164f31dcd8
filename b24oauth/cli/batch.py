"""`b24oauth batch`: any number of REST methods from a file."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from cyclopts import Parameter

from b24oauth.cli.call import read_text
from b24oauth.cli.connecting import Access, PortalName
from b24oauth.cli.output import AsJson, note, print_json
from b24oauth.cli.parameters import json_value
from b24oauth.cli.problems import UsageError
from b24oauth.errors import SdkError
from b24oauth.shapes import is_list, is_mapping

__all__ = ["batch", "read_commands"]

# A hyphen alone is the standard input.
FileName: TypeAlias = Annotated[str, Parameter(allow_leading_hyphen=True)]


def batch(file: FileName, /, *, v3: bool = False, portal: PortalName = "", as_json: AsJson = False) -> int:
    """Call any number of REST methods, 50 per request, and print their results by name.

    The file is a JSON object of commands by name, a JSON list of commands, or one command per line. A command is
    {"method": "crm.deal.get", "params": {"id": 1}}; in a list or a line it may have a "name". Every command runs. The
    exit status is 1 if one failed.

    Args:
        file: The file; - for the standard input.
        v3: Call REST v3.
        portal: member_id or domain of a stored portal; not needed if one is stored.
        as_json: Print JSON for programs.
    """
    commands = read_commands(read_text(file), "the standard input" if file == "-" else file)
    access = Access.from_environment(portal)
    results = asyncio.run(_batch(access, commands, v3=v3))
    errors = {name: result for name, result in results.items() if isinstance(result, Exception)}
    if as_json:
        for name, result in results.items():
            print_json({"name": name, **_outcome(result)}, compact=True)
    else:
        print_json({name: result for name, result in results.items() if name not in errors}, compact=False)
    for name, error in errors.items():
        note(f"{name}: {f'{error.code}: {error.message}' if isinstance(error, SdkError) else error}")
    if errors:
        note(f"{len(errors)} of {len(results)} commands failed")
    return 1 if errors else 0


def read_commands(text: str, place: str) -> dict[str, Mapping[str, Any]]:
    """The commands of a file by name; those without a name get their number, counted from 1.

    Args:
        text: A JSON object, a JSON list, or JSON lines.
        place: Where the text comes from, for messages.

    Raises:
        UsageError: The text is neither, a command is not understood, or two have the same name.
    """
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    entries: list[tuple[str, object]] = []
    if len(lines) > 1 and _is_command(lines[0][1]):
        entries = [(f"{place}, line {number}", json_value(line, f"{place}, line {number}")) for number, line in lines]
    else:
        document = json_value(text, place)
        if is_mapping(document) and isinstance(document.get("method"), str):
            document = [document]
        if is_mapping(document):
            return {name: _command(entry, f"{place}, {name}") for name, entry in document.items()}
        if not is_list(document):
            raise UsageError(f"{place} must be a JSON object or list of commands, or one command per line")
        entries = [(f"{place}, command {number}", entry) for number, entry in enumerate(document, 1)]
    commands: dict[str, Mapping[str, Any]] = {}
    for number, (where, entry) in enumerate(entries, 1):
        command = _command(entry, where)
        name = str(entry.get("name", number)) if is_mapping(entry) else str(number)
        if name in commands:
            raise UsageError(f"{where}: another command is named {name} too")
        commands[name] = command
    return commands


def _is_command(line: str) -> bool:
    try:
        return is_mapping(json_value(line, "line"))
    except UsageError:
        return False


def _command(entry: object, where: str) -> Mapping[str, Any]:
    if not is_mapping(entry) or not isinstance(entry.get("method"), str):
        raise UsageError(f'{where}: a command is an object with "method" and "params"')
    unknown = ", ".join(sorted(set(entry) - {"name", "method", "params"}))
    if unknown:
        raise UsageError(f'{where}: unknown fields {unknown}; a command has "name", "method" and "params"')
    params: object = entry.get("params") or dict[str, Any]()
    if not is_mapping(params):
        raise UsageError(f"{where}: params must be an object")
    return {"method": entry["method"], "params": params}


async def _batch(access: Access, commands: Mapping[str, Mapping[str, Any]], *, v3: bool) -> dict[str, Any]:
    async with access.client() as b24:
        api = b24.v3 if v3 else b24
        results: dict[str, Any] = await api.batch(commands, return_errors=True) if commands else {}
    return results


def _outcome(result: object) -> dict[str, Any]:
    if not isinstance(result, Exception):
        return {"result": result}
    code = result.code if isinstance(result, SdkError) else type(result).__name__
    message = result.message if isinstance(result, SdkError) else str(result)
    return {"error": {"code": code, "message": message}}
