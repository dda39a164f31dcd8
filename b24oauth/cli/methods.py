"""`b24oauth methods`: what the portal offers."""

from __future__ import annotations

import asyncio
from typing import Any

from b24oauth.cli.connecting import Access, PortalName
from b24oauth.cli.output import AsJson, note, print_json, print_table
from b24oauth.protocol.openapi import read_methods
from b24oauth.shapes import as_mapping, is_list

__all__ = ["methods"]


def methods(
    text: str = "", /, *, v3: bool = False, scope: bool = False, portal: PortalName = "", as_json: AsJson = False
) -> int:
    """List the REST methods of the portal.

    The portal lists those of the application's scope. A complete name is also looked up by itself. The exit status is 1
    if nothing is found.

    Args:
        text: Only methods whose name contains this text.
        v3: List the methods of REST v3, with what they do.
        scope: List the scopes of the application instead.
        portal: member_id or domain of a stored portal; not needed if one is stored.
        as_json: Print JSON for programs.
    """
    wanted = text.strip().lower()
    found = asyncio.run(_found(Access.from_environment(portal), wanted, v3=v3, scope=scope))
    if as_json:
        print_json(found, compact=True)
    elif v3 and not scope:
        print_table(("method", "summary"), ((entry["name"], entry["summary"]) for entry in found))
    else:
        for entry in found:
            if isinstance(entry, str):
                print(entry)
            else:
                print(entry["name"], "" if entry["is_available"] else "(outside of the scope or the plan)")
    if not found:
        note("Nothing is found")
    return 0 if found else 1


async def _found(access: Access, wanted: str, *, v3: bool, scope: bool) -> list[Any]:
    async with access.client() as b24:
        if scope:
            return [name for name in _names(await b24.call("scope")) if wanted in name.lower()]
        if v3:
            answer = await b24.actions.v3.call.make("rest.documentation.openapi")
            known = read_methods(answer.raise_for_error().payload)
            return [
                {
                    "name": name,
                    "summary": method.summary,
                    "required": [p for p, v in method.params.items() if v.required],
                }
                for name, method in sorted(known.items())
                if wanted in name.lower()
            ]
        names: list[Any] = [name for name in _names(await b24.call("methods")) if wanted in name.lower()]
        if wanted.count(".") and wanted not in names:
            # The list leaves out what is outside of the scope.
            state = as_mapping(await b24.call("method.get", {"name": wanted}))
            if state.get("isExisting"):
                names.insert(0, {"name": wanted, "is_available": bool(state.get("isAvailable"))})
        return names


def _names(value: object) -> list[str]:
    return sorted(map(str, value if is_list(value) else as_mapping(value).values()))
