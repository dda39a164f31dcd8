"""`b24oauth export`: all rows of a list method to a file."""

from __future__ import annotations

import json
from typing import Any

from b24oauth.cli.export_run import read_conditions
from b24oauth.errors import ConfigurationError
from b24oauth.lists.methods import list_method
from b24oauth.shapes import is_mapping

__all__ = ["list_params"]


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
