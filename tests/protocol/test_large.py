"""Decoding in steps gives what decoding as a whole gives."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b24oauth.protocol.decoding import parse_json
from b24oauth.protocol.large import decoded_in_steps
from tests.support.examples import examples

leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=12,
)
named = st.dictionaries(st.sampled_from(["result", "result_error", "time", "p0", "p1"]), values, max_size=4)
payloads = st.one_of(
    values,
    named,
    st.fixed_dictionaries({"result": named, "time": values}),
    st.fixed_dictionaries({"time": values, "result": st.fixed_dictionaries({"result": values})}),
)
layouts = st.sampled_from([{}, {"indent": 1}, {"separators": (",", ":")}, {"ensure_ascii": False}])


def taken(body: bytes) -> tuple[Any, list[int]]:
    """The value, and the steps that were taken."""
    steps, sizes = decoded_in_steps(body), list[int]()
    while True:
        try:
            sizes.append(next(steps))
        except StopIteration as end:
            return end.value, sizes


@pytest.fixture(params=["msgspec", "json"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    if name == "json":
        monkeypatch.setitem(sys.modules, "msgspec", None)
    else:
        pytest.importorskip("msgspec")
    return name


def test_any_value_in_any_layout_is_as_when_decoded_as_a_whole(reader: str) -> None:
    @settings(max_examples=examples(200, 2_000), deadline=None)
    @given(payload=payloads, layout=layouts)
    def property_(payload: Any, layout: dict[str, Any]) -> None:
        body = json.dumps(payload, **layout).encode()
        assert taken(body)[0] == payload

    property_()


def test_what_is_no_json_is_judged_as_when_decoded_as_a_whole(reader: str) -> None:
    @settings(max_examples=examples(200, 2_000), deadline=None)
    @given(payload=payloads, cut=st.integers(0, 200), junk=st.sampled_from([b"", b"}", b",", b" x", b"\xff", b"\x00"]))
    def property_(payload: Any, cut: int, junk: bytes) -> None:
        body = json.dumps(payload).encode()
        body = body[:cut] + junk + body[cut + 1 :]
        value, whole = taken(body)[0], parse_json(body)
        assert value == whole or repr(value) == repr(whole)

    property_()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{}",
        b' {"result": {"result": []}} ',
        b'{"result":{"result":{}}}',
        b'{"result":{"result":{"a":1,"a":2}},"result":{"result":[3]}}',
        b'\xef\xbb\xbf{"result": 1}',
        '{"result": "ä"}'.encode("utf-16"),
        b'{"result": NaN}',
        b'{"result": {"result": {"p0": [Infinity]}}}',
        b'{"result": {1: 2}}',
        b"{,}",
        b'{"result": [1,]}',
        b'{"result": {"result": [1 2]}}',
        b'{"result": {"result": {"a" 1}}}',
        b'{"result": {"result": {"a": "\\ud800"}}}',
        b"[" * 100_000,
        b'{"result":' * 100_000,
    ],
)
def test_odd_texts_are_as_when_decoded_as_a_whole(reader: str, body: bytes) -> None:
    assert repr(taken(body)[0]) == repr(parse_json(body))


@pytest.mark.parametrize("form", [dict, list])
@pytest.mark.parametrize("depth", [1, 2])
def test_each_result_of_a_batch_is_a_step_of_its_own(reader: str, form: type, depth: int) -> None:
    pages = [[{"ID": str(row), "TITLE": "x" * 100} for row in range(50)] for _ in range(50)]
    results: Any = {f"p{number}": page for number, page in enumerate(pages)} if form is dict else pages
    payload: Any = {"result": {"result": results, "result_total": []} if depth == 2 else results, "time": {"a": 1}}
    value, sizes = taken(json.dumps(payload).encode())
    assert value == payload
    page = len(json.dumps(pages[0]))
    expected = 50 if depth == 2 or form is list else 0
    assert sum(page * 0.9 <= size <= page * 1.1 for size in sizes) == expected
