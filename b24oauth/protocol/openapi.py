"""What a portal's own OpenAPI document says about its v3 methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from b24oauth.shapes import as_mapping, is_list

__all__ = ["V3Method", "V3Param", "read_methods"]

_DEEPEST_REFERENCE: Final = 8


@attrs.frozen(kw_only=True)
class V3Param:
    """A parameter of a method.

    Attributes:
        type: Its type as the document names it, for example "integer"; empty when it says nothing.
        required: True when the method needs it.
    """

    type: str = ""
    required: bool = False


@attrs.frozen(kw_only=True)
class V3Method:
    """A method of REST v3.

    Attributes:
        name: Its name, as `actions.v3.call.make` takes it.
        summary: What it does, as far as the document says so.
        params: Its parameters by name.
    """

    name: str
    summary: str = ""
    params: Mapping[str, V3Param] = attrs.field(factory=dict[str, V3Param])


def read_methods(document: Mapping[str, Any]) -> dict[str, V3Method]:
    """The methods in an OpenAPI document, by name; entries that cannot be parsed are skipped.

    Args:
        document: The response of `rest.documentation.openapi`.

    Source: https://apidocs.bitrix24.com/api-reference/rest-v3/index.html
    """
    found: dict[str, V3Method] = {}
    for path, item in as_mapping(document.get("paths")).items():
        operation = as_mapping(as_mapping(item).get("post"))
        name = path.rpartition("/")[2]
        if operation and name:
            summary = operation.get("summary") or operation.get("description") or ""
            params = _params(operation, document)
            found[name] = V3Method(name=name, summary=summary if isinstance(summary, str) else "", params=params)
    return found


def _params(operation: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, V3Param]:
    content = as_mapping(_resolved(operation.get("requestBody"), document).get("content"))
    schema = _resolved(as_mapping(content.get("application/json")).get("schema"), document)
    required = schema.get("required")
    needed = set(map(str, required)) if is_list(required) else set[str]()
    return {
        name: V3Param(type=_type(_resolved(part, document)), required=name in needed)
        for name, part in as_mapping(schema.get("properties")).items()
    }


def _type(schema: Mapping[str, Any]) -> str:
    named = schema.get("type")
    return named if isinstance(named, str) else ""


def _resolved(value: object, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The map itself, or the map that its `$ref` points to."""
    for _ in range(_DEEPEST_REFERENCE):
        reference = as_mapping(value).get("$ref")
        if not isinstance(reference, str):
            return as_mapping(value)
        value = document
        for part in reference.removeprefix("#/").split("/"):
            value = as_mapping(value).get(part)
    return {}
