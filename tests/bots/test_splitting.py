"""How a long text becomes messages."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b24oauth.bots import split_text

TAG = re.compile(r"\[/?(?:b|i|code|url|size)[^\]]*\]")


def test_a_short_text_is_one_message() -> None:
    assert split_text("Hello") == ["Hello"]
    assert split_text("x" * 20_000) == ["x" * 20_000]


@pytest.mark.parametrize("text", ["", " ", "\n\n \t"])
def test_a_blank_text_is_no_message(text: str) -> None:
    assert split_text(text) == []


def test_paragraphs_are_preferred_to_lines_and_lines_to_words() -> None:
    assert split_text("one two\nthree\n\nfour five", 18) == ["one two\nthree", "four five"]
    assert split_text("one two\nthree four", 13) == ["one two", "three four"]
    assert split_text("one two three four", 13) == ["one two three", "four"]
    assert split_text("one two three four", 12) == ["one two", "three four"]
    assert split_text("one two[br]three four", 13) == ["one two", "three four"]


def test_a_word_that_is_too_long_is_divided() -> None:
    assert split_text("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]


def test_no_tag_is_divided_and_text_outside_of_tags_is_preferred() -> None:
    text = "aaaa bbbb [url=https://example.com/a b]a link[/url] cccc"
    for limit in range(41, len(text)):
        for part in split_text(text, limit):
            assert part.count("[url=") == part.count("[/url]")
            assert "[url=https://example.com/a b]a link[/url]" in part or "[url" not in part


def test_a_code_that_is_too_long_is_closed_and_opened_again_at_a_line() -> None:
    lines = "\n".join(f"    line {number} [b]" for number in range(6))
    parts = split_text(f"Look:\n[code]{lines}[/code]\nThat is all.", 60)
    inside = [part for part in parts if "[code]" in part]
    assert len(inside) > 1
    for part in inside:
        assert part.count("[code]") == part.count("[/code]") == 1
        assert "[/b]" not in part, "within [code] other tags are text"
    indented = [line for part in inside for line in re.findall(r"    line \d", part)]
    assert indented == [f"    line {number}" for number in range(6)], "indentation of lines stays"


def test_nested_tags_are_closed_in_order() -> None:
    first, second = split_text("[b][size=20]" + "word " * 8 + "[/size][/b]", 45)
    assert first.endswith("[/size][/b]")
    assert second.startswith("[b][size=20]")
    assert second.endswith("[/size][/b]")


def test_a_tag_that_is_never_closed_is_left_alone() -> None:
    assert split_text("[b]one two three", 10) == ["[b]one two", "three"]


PIECES = st.sampled_from(
    ["word", " ", "\n", "\n\n", "[br]", "[b]", "[/b]", "[i]", "[/i]", "[code]", "[/code]", "[url=http://x.y/z]",
     "[/url]",
     "[", "]", "[/", "x" * 30, "ключ", "😀", "[disk=5]", "[size=8]", "[/size]"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=80).map("".join), st.integers(min_value=60, max_value=200))
def test_nothing_is_lost_and_no_message_is_too_long(text: str, limit: int) -> None:
    parts = split_text(text, limit)
    assert all(0 < len(part) <= limit and part.strip() for part in parts)

    def bare(value: str) -> str:
        return re.sub(r"\s|\[br\]", "", TAG.sub("", value))

    assert bare("".join(parts)) == bare(text)


@given(st.lists(PIECES, max_size=40).map("".join))
def test_any_limit_ends(text: str) -> None:
    assert all(len(part) <= 7 for part in split_text(text, 7))
