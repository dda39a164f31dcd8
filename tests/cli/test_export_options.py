"""Filters and parameters of `b24oauth export`."""

from __future__ import annotations

from typing import Any

import pytest

from b24oauth.cli.export import list_params
from b24oauth.cli.export_run import read_conditions
from b24oauth.errors import ConfigurationError


@pytest.mark.parametrize(
    ("texts", "conditions"),
    [
        ([], {}),
        (["STAGE_ID=NEW"], {"STAGE_ID": "NEW"}),
        ([">OPPORTUNITY=100", "<=OPPORTUNITY=200"], {">OPPORTUNITY": "100", "<=OPPORTUNITY": "200"}),
        (["!=STAGE_ID=NEW", "=ID=5", "!ID=6"], {"!=STAGE_ID": "NEW", "=ID": "5", "!ID": "6"}),
        (["%TITLE=a=b"], {"%TITLE": "a=b"}),
        (["COMMENTS="], {"COMMENTS": ""}),
        (['@ID=[1, "2"]'], {"@ID": [1, "2"]}),
    ],
)
def test_conditions_are_read_as_bitrix24_writes_them(texts: list[str], conditions: dict[str, Any]) -> None:
    assert read_conditions(texts) == conditions


@pytest.mark.parametrize(
    ("texts", "named"),
    [
        (["STAGE_ID"], "STAGE_ID: must be"),
        (["=5"], "must be"),
        ([">=100"], "must be"),
        (["ID=1", "ID=2"], r"@ID=\[1, 2\]"),
        (["@ID=[1,"], "no JSON list"),
    ],
)
def test_a_condition_that_cannot_be_read_is_refused(texts: list[str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        read_conditions(texts)


def test_options_and_parameters_are_put_together() -> None:
    assert list_params("crm.deal.list", None, None, []) == {}
    assert list_params("crm.item.list", '{"entityTypeId": 128}', "id, title", [">id=5"]) == {
        "entityTypeId": 128,
        "select": ["id", "title"],
        "filter": {">id": "5"},
    }
    assert list_params("task.elapseditem.getlist", "[1, {}]", None, []) == [1, {}]


@pytest.mark.parametrize(
    ("method", "params", "select", "named"),
    [
        ("crm.deal.list", "{", None, "must be JSON"),
        ("crm.deal.list", '{"SELECT": ["ID"]}', "ID", "one parameter"),
        ("task.elapseditem.getlist", None, "ID", "by position"),
        ("crm.deal.list", "[1]", "ID", "by position"),
    ],
)
def test_what_contradicts_is_refused(method: str, params: str | None, select: str | None, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        list_params(method, params, select, [])
