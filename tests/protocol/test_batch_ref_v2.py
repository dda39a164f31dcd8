from __future__ import annotations

import pytest

from b24oauth import BatchRefV2, InvalidParamsError


def test_a_reference_names_the_command_and_the_way_into_its_answer() -> None:
    assert BatchRefV2.ref("deals", 49, "ID") == "$result[deals][49][ID]"
    assert BatchRefV2.ref(0) == "$result[0]"


@pytest.mark.parametrize("path", [("",), ("a", ""), ("a]",), ("a", "b[0]")])
def test_a_part_that_would_be_read_differently_is_refused(path: tuple[str, ...]) -> None:
    with pytest.raises(InvalidParamsError, match="brackets"):
        BatchRefV2.ref(*path)
