"""Rows with a single field, for tests of how one type is read."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from b24oauth.errors import InvalidDataError
from b24oauth.rows import structure_row


def read_field(type_: Any, value: Any) -> Any:
    """The value of a field of this type, which has no default."""
    row_type = attrs.make_class("Row", {"field": attrs.field(type=type_)})
    return structure_row({"FIELD": value}, row_type, method="crm.deal.get").field


def problems_of(type_: Any, value: Any) -> tuple[str, ...]:
    """What is said about a result that does not fit; nothing behind the error may repeat the value."""
    with pytest.raises(InvalidDataError) as caught:
        structure_row(value, type_, method="crm.deal.get", request_id="r1")
    assert "SECRET" not in f"{caught.value}{caught.value.to_dict()}"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value.problems
