"""Asks the portal for the types of a list's fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from b24oauth.errors import AjaxError, AuthRefusedError
from b24oauth.exporting.columns import Column, read_fields
from b24oauth.shapes import is_mapping

__all__ = ["declared_columns", "fields_methods"]


class Caller(Protocol):
    """Makes calls."""

    async def call(self, method: str, params: Any = None) -> Any:
        """The result of a call."""
        ...


def fields_methods(method: str) -> tuple[str, str]:
    """Methods that may describe the fields of a list method's rows.

    Source: https://apidocs.bitrix24.com/api-reference/crm/deals/crm-deal-fields.html
    """
    entity = method.rpartition(".")[0]
    return f"{entity}.fields", f"{entity}.getFields"


async def declared_columns(client: Caller, method: str, params: object) -> Mapping[str, Column]:
    """The columns that the portal declares for a list, by normalized names; empty if it declares none.

    Args:
        client: Makes calls.
        method: List method.
        params: Its parameters; those that name a type of entity are needed for its fields, too.

    Raises:
        AjaxError: The portal did not respond, or refuses the client.
    """
    walk = {"filter", "select", "order", "start"}
    given = {name: value for name, value in params.items() if name.lower() not in walk} if is_mapping(params) else {}
    for name in fields_methods(method):
        try:
            found = read_fields(await client.call(name, given))
        except AjaxError as error:
            # There is no such method, or it needs parameters that the list does not have: columns are text.
            if isinstance(error, AuthRefusedError) or not 400 <= error.status < 429:
                raise
        else:
            if found:
                return found
    return {}
