"""Parameters of a call as words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b24oauth.cli.parameters import read_parameters
from b24oauth.cli.problems import UsageError


def read(*words: str, **files: str) -> dict[str, Any]:
    return read_parameters(words, lambda name: files[name])


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["id=5"], {"id": "5"}),
        (["id:=5", "on:=true", "none:=null"], {"id": 5, "on": True, "none": None}),
        (["a="], {"a": ""}),
        (["a=b=c", "d=x:=y"], {"a": "b=c", "d": "x:=y"}),
        (["filter[>ID]=5", "filter[<=ID]=9"], {"filter": {">ID": "5", "<=ID": "9"}}),
        (["filter[!=STAGE_ID]:=[1]", "filter[a.b]=c"], {"filter": {"!=STAGE_ID": [1], "a.b": "c"}}),
        (["fields.TITLE=x", "fields.CONTACT[NAME]=y"], {"fields": {"TITLE": "x", "CONTACT": {"NAME": "y"}}}),
        (["fields[A].B=x"], {"fields": {"A": {"B": "x"}}}),
        (["select[]=ID", "select[]=TITLE"], {"select": ["ID", "TITLE"]}),
        (["rows[0][id]=1", "rows[1][id]=2"], {"rows": [{"id": "1"}, {"id": "2"}]}),
        (["rows[5]=x"], {"rows": {"5": "x"}}),
        (["a:={}", "b:=[]"], {"a": {}, "b": []}),
        (['a:={"0": 1}'], {"a": {"0": 1}}),
        ([], {}),
    ],
)
def test_words_make_nested_values(words: list[str], meant: dict[str, Any]) -> None:
    assert read(*words) == meant


def test_words_take_precedence_over_files() -> None:
    files = {"f.json": '{"filter": {"A": 1, "B": 2}, "start": 50}', "-": '{"start": 100}'}
    assert read("filter[A]=3", "@f.json", "-", **files) == {"filter": {"A": "3", "B": 2}, "start": 100}


@pytest.mark.parametrize(
    "word", ["", "=x", ":=1", "id", "[a]=1", "a[b=1", "a[b]c=1", ".a=1", "a..b=1", "a:=", "a:={", "[]=1", "-x"]
)
def test_a_word_that_is_not_understood_is_refused(word: str) -> None:
    with pytest.raises(UsageError):
        read(word)


@pytest.mark.parametrize("words", [["a=1", "a=2"], ["a=1", "a[b]=2"], ["a[b]=2", "a=1"], ["a:={}", "a[b]=1"]])
def test_words_that_contradict_each_other_are_refused(words: list[str]) -> None:
    with pytest.raises(UsageError, match="twice|contradicts"):
        read(*words)


def test_a_value_is_not_repeated_when_it_is_refused() -> None:
    with pytest.raises(UsageError) as refused:
        read("token:=S3CR3T")
    assert "S3CR3T" not in str(refused.value)
    assert "token" in str(refused.value)


@given(
    st.dictionaries(st.text("abcXYZ_", min_size=1), st.text(), min_size=1),
    st.text("abc<>=!@%.:", min_size=1),
)
def test_any_text_is_a_value_and_any_operator_a_key(values: dict[str, str], key: str) -> None:
    words = [f"{name}[{key}]={value}" for name, value in values.items()]
    assert read(*words) == {name: {key: value} for name, value in values.items()}
