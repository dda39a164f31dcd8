from __future__ import annotations

import copy
import enum
import pickle
from typing import Any

import pytest

from b24oauth import BatchRefV2, InvalidParamsError
from b24oauth.protocol.batch_ref_v2 import looks_like_reference

TITLE = BatchRefV2.ref("deal", "TITLE")


def test_a_reference_names_the_command_and_the_way_into_its_response() -> None:
    assert BatchRefV2.ref("deals", 49, "ID").text == "$result[deals][49][ID]"
    assert BatchRefV2.ref(0).text == "$result[0]"
    assert BatchRefV2.ref("deals", 49, "ID").commands == ("deals",)


def test_a_reference_is_a_frozen_value_that_no_text_equals() -> None:
    assert BatchRefV2.ref("deal", "TITLE") == TITLE
    assert len({BatchRefV2.ref("deal", "TITLE"), TITLE, BatchRefV2.ref("deal", "ID")}) == 2
    assert TITLE.text != TITLE
    assert not isinstance(TITLE, str)
    assert pickle.loads(pickle.dumps(TITLE)) == copy.deepcopy(TITLE) == TITLE
    with pytest.raises(AttributeError):
        TITLE._parts = ()  # type: ignore[misc]


@pytest.mark.parametrize("path", [("",), ("a", ""), ("a]",), ("a", "b[0]"), ("my deal", "ID"), ("a", "b\tc")])
def test_a_part_that_would_be_read_differently_is_refused(path: tuple[str, ...]) -> None:
    with pytest.raises(InvalidParamsError, match="brackets or spaces"):
        BatchRefV2.ref(*path)


@pytest.mark.parametrize("path", [(None,), ("deal", None), ("deal", 1.5), ("deal", True), (b"deal", "ID"), (["deal"],)])
def test_a_part_that_is_neither_text_nor_a_number_is_refused(path: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidParamsError, match="text or whole numbers"):
        BatchRefV2.ref(*path)


def test_a_member_of_an_enumeration_stands_for_its_text() -> None:
    class Command(str, enum.Enum):  # noqa: UP042 - it shows itself by its name
        DEAL = "deal"

    assert BatchRefV2.ref(Command.DEAL, "ID").text == "$result[deal][ID]"
    assert BatchRefV2.format("{} {}", Command.DEAL, TITLE).text == "deal $result[deal][TITLE]"


@pytest.mark.parametrize("value", [None, 1.5, True, b"x", ["x"]])
def test_a_value_that_is_neither_a_reference_nor_text_nor_a_number_is_refused(value: Any) -> None:
    with pytest.raises(InvalidParamsError, match="text or whole numbers"):
        BatchRefV2.format("{} {}", value, TITLE)


@pytest.mark.parametrize(
    ("template", "values", "text"),
    [
        ("Copy of {}", (TITLE,), "Copy of $result[deal][TITLE]"),
        ("{} and {}", (TITLE, BatchRefV2.ref(0, "ID")), "$result[deal][TITLE] and $result[0][ID]"),
        ("{{{}}} {}", ("user", TITLE), "{user} $result[deal][TITLE]"),
        ("{}, {}", (5, TITLE), "5, $result[deal][TITLE]"),
        ("$5 [net] {}", (TITLE,), "$5 [net] $result[deal][TITLE]"),
        ("{}", (BatchRefV2.format("a {}", TITLE),), "a $result[deal][TITLE]"),
    ],
)
def test_text_stands_around_references(template: str, values: tuple[Any, ...], text: str) -> None:
    assert BatchRefV2.format(template, *values).text == text


@pytest.mark.parametrize(
    ("template", "values"),
    [
        ("Copy of {}", ()),
        ("Copy of {}", (TITLE, TITLE)),
        ("Copy of {0}", (TITLE,)),
        ("Copy of {name}", (TITLE,)),
        ("Copy of {!r}", (TITLE,)),
        ("Copy of {:>5}", (TITLE,)),
        ("Copy of {", (TITLE,)),
        (5, (TITLE,)),
        # The portal takes everything up to the next space for a part of the reference, and it is lost.
        ("Copy of {}!", (TITLE,)),
        ("{}/{}", (TITLE, TITLE)),
        ("[{}]", (TITLE,)),
        # What is not a reference must not become one.
        ("$result[secret][TOKEN] {}", (TITLE,)),
        ("{} {}", ("$result[secret][TOKEN]", TITLE)),
        ("$total{}", (TITLE,)),
    ],
)
def test_a_format_that_the_portal_would_read_differently_is_refused(template: Any, values: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidParamsError, match="format") as caught:
        BatchRefV2.format(template, *values)
    assert "TOKEN" not in str(caught.value)
    assert caught.value.__context__ is None


def test_names_of_commands_can_be_exchanged() -> None:
    reference = BatchRefV2.format("{} of {}", BatchRefV2.ref(51, "ID"), TITLE)
    assert reference.renamed({"51": "1"}) == "$result[1][ID] of $result[deal][TITLE]"


@pytest.mark.parametrize(
    "text",
    [
        "$result[a][ID]",
        "a$result[a]",
        "$result[",
        "$RESULT[a]",
        "$Result%5Ba%5D",
        "$result.x[a]",
        "$resultless[a]",
        "$next[a]",
        "$total[a]",
        "$time[a][start]",
        "$error[a]",
        "text\n$result[a]",
    ],
)
def test_what_a_portal_may_fill_in_looks_like_a_reference(text: str) -> None:
    assert looks_like_reference(text)


@pytest.mark.parametrize(
    "text", ["", "$", "$result", "$result a[0]", "$5[net]", "result[a]", "$ result[a]", "100 $[x]"]
)
def test_other_text_does_not_look_like_a_reference(text: str) -> None:
    assert not looks_like_reference(text)


def test_a_reference_shows_what_it_stands_for() -> None:
    assert repr(BatchRefV2.ref("deal", "ID")) == "<BatchRefV2 $result[deal][ID]>"
