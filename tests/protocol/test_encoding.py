from __future__ import annotations

import enum
import json
import re
import shutil
import subprocess
from collections import OrderedDict
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b24oauth.errors import InvalidParamsError
from b24oauth.protocol.encoding import encode_json, encode_query, to_json
from tests.support.php import parse_str


class Stage(enum.StrEnum):
    NEW = "NEW"


class Kind(str, enum.Enum):  # noqa: UP042  # older code has this kind, and its str() is not its value
    DEAL = "deal"


class Level(enum.IntEnum):
    HIGH = 3


class Plain(enum.Enum):
    A = "a"
    NESTED = (1, "x")


# PHP gives brackets, dots, spaces and NUL in names a meaning of their own.
# An empty filter, select or order is left out, which has a test of its own.
KEYS = st.text(
    st.characters(exclude_characters="[]. \0", exclude_categories=("Cs", "Z", "C")), min_size=1, max_size=8
).filter(lambda key: key.lower() not in {"filter", "select", "order"})
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.decimals(allow_nan=False, allow_infinity=False, places=3),
    st.dates(),
    st.datetimes(timezones=st.just(timezone(timedelta(hours=-3, minutes=-30)))),
    st.sampled_from([*Stage, *Kind, *Level, Plain.A]),
    st.frozensets(st.integers(), max_size=3),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
PARAMS = st.dictionaries(KEYS, VALUES, max_size=5)


def as_php(value: Any) -> Any:
    """What PHP should have of a plain value."""
    if isinstance(value, dict):
        return {php_key(k): as_php(v) for k, v in value.items()} or {0: ""}
    if isinstance(value, list):
        return {i: as_php(v) for i, v in enumerate(value)} or {0: ""}
    if isinstance(value, bool):
        return str(int(value))
    return "" if value is None else str(value)


def php_key(key: str) -> str | int:
    return int(key) if re.fullmatch("0|-?[1-9][0-9]*", key, re.ASCII) else key


@settings(max_examples=150, deadline=None)
@given(PARAMS)
def test_php_reads_a_command_as_it_was_meant(params: dict[str, Any]):
    plain = to_json(params)
    assert isinstance(plain, dict)
    assert parse_str(encode_query(params)) == (as_php(plain) if plain else {})


@pytest.mark.parametrize(
    ("params", "written"),
    [
        ({"filter": {}}, ""),
        ({"FILTER": [], "Order": {}, "select": (), "start": 0}, "start=0"),
        ({"filter": {"0": {}, "1": {"=a": 1}}}, "filter[1][=a]=1"),
        ({"filter": [{}, {"=a": 1}]}, "filter[1][=a]=1"),
        ({"filter": {"0": {}, "1": {"0": {}}}}, ""),
        ({"filter": {"logic": "OR", "0": {"0": {}}}}, "filter[logic]=OR"),
        ({"filter": {"=a": []}}, "filter[=a][]="),
        ({"filter": {"0": {"=a": []}}}, "filter[0][=a][]="),
        ({"fields": {"filter": {}, "UF_MANY": []}}, "fields[filter][]=&fields[UF_MANY][]="),
    ],
)
def test_what_is_empty_is_left_out_where_php_would_read_a_condition(params: dict[str, Any], written: str) -> None:
    assert unquote(encode_query(params)) == written


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_the_json_body_is_the_plain_value(value: Any):
    assert json.loads(encode_json(value)) == to_json(value)


@pytest.mark.skipif(shutil.which("php") is None, reason="no php binary on PATH to compare with")
def test_real_php_reads_a_command_like_our_reader():
    queries = [*map(encode_query, SAMPLES), *(f"{quote(name, safe='')}=1" for name in ODD_NAMES + ODD_NAMES_INSIDE)]
    script = (
        "foreach (json_decode(stream_get_contents(STDIN)) as $q) { parse_str($q, $o); $all[] = $o; }"
        "echo json_encode($all, JSON_FORCE_OBJECT);"
    )
    done = subprocess.run(
        [shutil.which("php") or "php", "-r", script],
        input=json.dumps(queries),
        capture_output=True,
        text=True,
        check=True,
    )
    assert list(json.loads(done.stdout).values()) == [with_text_keys(parse_str(query)) for query in queries]


def with_text_keys(value: Any) -> Any:
    return {str(k): with_text_keys(v) for k, v in value.items()} if isinstance(value, dict) else value


SAMPLES: list[dict[str, Any]] = [
    {"a": 1, "b": None, "c": True, "d": False, "e": 1.5, "f": "x y+z&=é%"},
    {"filter": {">ID": 5, "@STATUS": ["a", "b"], "deep": {"x": [{"z": 1}, {"z": 2}]}}},
    {"empty": [], "map": {}, "nested": {"empty": []}},
    {"list": [[1, 2], [3]], "5": "five", "-3": "minus"},
    {"newline": "a\nb", "nul": "a\0b", "quote": "'\"\\", "emoji": "😀"},
]


ODD_NAMES = [" a", "a[", "[a]", "[a", "a\0b", "\0", "", " "]
ODD_NAMES_INSIDE = [
    f"f[{key}]" for key in ("a]b", "a]", "[a]", "a[b]", "a\0b", "\0", "", " ", "\t", "\n", "\v", "\f", "\r")
]
# Filters have such names, and PHP reads them as they are.
NAMES = [">ID", "<=ID", "!STAGE", "%TITLE", "=%TITLE", "@ID", "?X", "0", "01", "-1", "a]", "]", "a\tb", "é", "a+b&c=d%"]
NAMES_INSIDE = [*NAMES[:-7], "a.b", ".", "a b", " a", "a ", "[a", "a[b", "\x1c", "\u00a0", "__x"]


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("value", [1, {"x": 1}, []])
def test_a_name_that_php_reads_otherwise_is_refused_with_its_place_and_a_remedy(name: str, value: Any):
    shown = name if name.strip() and name.isprintable() else "<unreadable key>"
    with pytest.raises(InvalidParamsError, match=f"^.* {re.escape(shown)}: PHP would .* nest a mapping") as refused:
        encode_query({"id": 1, name: value})
    assert refused.value.__context__ is None
    assert json.loads(encode_json({name: value})) == {name: value}


@pytest.mark.parametrize("name", ODD_NAMES_INSIDE)
@pytest.mark.parametrize("value", [1, {"x": 1}, []])
def test_a_name_inside_of_brackets_that_php_reads_otherwise_is_refused_too(name: str, value: Any):
    key = name.removeprefix("f[").removesuffix("]")
    shown = key if key.strip() and key.isprintable() else "<unreadable key>"
    with pytest.raises(InvalidParamsError, match=rf" filter\.rows\[1\]\.{re.escape(shown)}: PHP would"):
        encode_query({"filter": {"rows": [{}, {key: value}]}})
    assert json.loads(encode_json({"filter": {key: value}})) == {"filter": {key: value}}


@pytest.mark.parametrize(
    "params", [*({name: "1"} for name in NAMES), *({"PARAMS": {name: "1", "x": {name: "1"}}} for name in NAMES_INSIDE)]
)
def test_a_name_that_php_reads_as_it_is_stays_allowed(params: dict[str, Any]):
    assert parse_str(encode_query(params)) == as_php(params)


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({"a": True, "b": False}, "a=1&b=0"),
        ({"a": None}, "a="),
        ({"a": []}, "a%5B%5D="),
        ({"a": {}, "b": {"c": ()}}, "a%5B%5D=&b%5Bc%5D%5B%5D="),
        ({"a": "1 + 1/2~"}, "a=1%20%2B%201%2F2~"),
        ({"a": (1, "x")}, "a%5B0%5D=1&a%5B1%5D=x"),
        ({"a": 0.1, "b": 1e21, "c": 1e-7}, "a=0.1&b=1e%2B21&c=1e-07"),
        ({"a": Decimal("1E+3"), "b": Decimal("0.10")}, "a=1000&b=0.10"),
        ({"a": date(2026, 1, 31)}, "a=2026-01-31"),
        ({"a": datetime(2026, 1, 31, 23, 59, 59, 999, tzinfo=UTC)}, "a=2026-01-31T23%3A59%3A59%2B00%3A00"),
        (
            {"a": Stage.NEW, "b": Kind.DEAL, "c": Level.HIGH, "d": Plain.NESTED},
            "a=NEW&b=deal&c=3&d%5B0%5D=1&d%5B1%5D=x",
        ),
        ({"a": {3, 1, 2}, "b": frozenset({Level.HIGH})}, "a%5B0%5D=1&a%5B1%5D=2&a%5B2%5D=3&b%5B0%5D=3"),
        ({1: {2: "x"}, Kind.DEAL: 1}, "1%5B2%5D=x&deal=1"),
        (
            {"a b": 1, "x[y]": 2, "=%TITLE": "A%", "é": {"k&": 1}, "!=A.B": 0},
            "a%20b=1&x%5By%5D=2&%3D%25TITLE=A%25&%C3%A9%5Bk%26%5D=1&%21%3DA.B=0",
        ),
        ({}, ""),
    ],
)
def test_values_are_written_for_php(params: Any, query: str):
    assert encode_query(params) == query


@pytest.mark.parametrize(
    ("value", "body"),
    [
        ({"a": [True, None, 1, 1.5, "é"]}, '{"a":[true,null,1,1.5,"é"]}'),
        ({"a": Decimal("1E+3"), "b": Level.HIGH, "c": {2, 1}}, '{"a":"1000","b":3,"c":[1,2]}'),
        ({1: MappingProxyType({"x": ()}), Stage.NEW: OrderedDict(z=1)}, '{"1":{"x":[]},"NEW":{"z":1}}'),
        ([{"method": "m", "query": {"id": {"$ref": "a.b"}}}], '[{"method":"m","query":{"id":{"$ref":"a.b"}}}]'),
    ],
)
def test_values_are_written_as_json(value: Any, body: str):
    assert encode_json(value) == body.encode()


def test_seconds_in_an_offset_keep_the_moment():
    moment = datetime(1900, 1, 1, 12, tzinfo=timezone(timedelta(hours=2, minutes=30, seconds=17)))
    written = to_json({"at": moment})
    assert written == {"at": "1900-01-01T11:59:43+02:30"}
    assert datetime.fromisoformat(written["at"]) == moment


EDGE = "so near to the first or last one"


@pytest.mark.parametrize("encode", [encode_json, encode_query])
@pytest.mark.parametrize(
    "moment",
    [
        datetime.min.replace(tzinfo=timezone(timedelta(hours=2, seconds=30))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-2, seconds=-30))),
    ],
)
def test_a_moment_that_has_no_minute_to_move_to_is_named_by_its_place(encode: Any, moment: datetime):
    with pytest.raises(InvalidParamsError, match=f"fields.AT: a datetime {EDGE}") as refused:
        encode({"fields": {"AT": moment}})
    assert refused.value.__context__ is None


@pytest.mark.parametrize("at", [datetime.min, datetime.max])
def test_the_first_and_last_moments_are_written_with_offsets_of_whole_minutes(at: datetime):
    moment = at.replace(tzinfo=timezone(timedelta(hours=2)))
    assert to_json({"at": moment}) == {"at": moment.isoformat(timespec="seconds")}


@pytest.mark.parametrize(
    ("value", "place", "reason"),
    [
        (float("nan"), "fields.UF_X[2]", "NaN and infinity"),
        (float("-inf"), "fields.UF_X[2]", "NaN and infinity"),
        (Decimal("NaN"), "fields.UF_X[2]", "NaN and infinity"),
        (datetime(2026, 1, 1), "fields.UF_X[2]", "time zone"),
        (b"bytes", "fields.UF_X[2]", "type bytes"),
        (object(), "fields.UF_X[2]", "type object"),
        ({1, "a"}, "fields.UF_X[2]", "cannot be put in order"),
        ({None: 1}, "fields.UF_X[2]", "key of type NoneType"),
        ({True: 1}, "fields.UF_X[2]", "key of type bool"),
        ({1.5: 1}, "fields.UF_X[2]", "key of type float"),
        ({1: "a", "1": "b"}, "fields.UF_X[2]", "written alike"),
        ({"x": "\ud800"}, "fields.UF_X[2].x", "lone surrogates"),
        ({"x\ud800": 1}, "fields.UF_X[2].<unwritable key>", "lone surrogates"),
        ({"n": 10**5000}, "fields.UF_X[2].n", "numbers"),
    ],
)
@pytest.mark.parametrize("encode", [encode_json, encode_query])
def test_a_value_that_cannot_be_sent_is_named_by_its_place(encode: Any, value: Any, place: str, reason: str):
    with pytest.raises(InvalidParamsError) as refused:
        encode({"id": 1, "fields": {"UF_X": [1, "ok", value]}})
    assert refused.value.message.startswith(f"{place}: ")
    assert reason in refused.value.message
    assert refused.value.__context__ is None


@pytest.mark.parametrize("encode", [encode_json, encode_query, to_json])
def test_circular_parameters_are_refused(encode: Any):
    params: dict[str, Any] = {"fields": {"list": []}}
    params["fields"]["list"].append(params["fields"])
    with pytest.raises(InvalidParamsError) as refused:
        encode(params)
    assert refused.value.code == "B24OAUTH_INVALID_PARAMS"
    assert refused.value.message.startswith("Parameters contain circular references: fields.list[0] ")


@pytest.mark.parametrize("encode", [encode_json, encode_query, to_json])
def test_a_value_used_twice_is_not_circular(encode: Any):
    shared = [1]
    assert encode({"a": shared, "b": shared}) == encode({"a": [1], "b": [1]})


@pytest.mark.parametrize("encode", [encode_json, encode_query, to_json])
def test_parameters_nested_too_deeply_are_refused(encode: Any):
    params: Any = {}
    for _ in range(100_000):
        params = {"a": params}
    with pytest.raises(InvalidParamsError, match="nested too deeply"):
        encode(params)


class Text(str):
    def __str__(self) -> str:
        return "another text"


class Number(int):
    def __repr__(self) -> str:
        return "Number(5)"


class Share(float):
    def __repr__(self) -> str:
        return "Share(0.5)"


def test_subclasses_of_plain_types_are_written_by_their_value():
    params = {Text("k"): Text("text"), "n": Number(5), "f": Share(0.5), Number(7): 1}
    assert encode_query(params) == "k=text&n=5&f=0.5&7=1"
    assert encode_json(params) == b'{"k":"text","n":5,"f":0.5,"7":1}'


def test_a_command_needs_names_for_its_values():
    untyped: Any = [1]
    with pytest.raises(InvalidParamsError, match="must be a mapping"):
        encode_query(untyped)


def test_a_top_level_value_is_named_as_the_parameters():
    with pytest.raises(InvalidParamsError, match="The parameters: a value of type bytes"):
        encode_json(b"x")


def test_the_callers_parameters_are_left_alone():
    params = {"a": {"b": [Decimal(1)]}}
    plain = to_json(params)
    assert plain == {"a": {"b": ["1"]}}
    assert params == {"a": {"b": [Decimal(1)]}}


def test_our_reader_appends_renames_and_ignores_like_php():
    assert parse_str("a[]=1&a[]=2&a[x]=3&a.b=4&c%20d=5&=6&&e&f[g=7") == {
        "a": {0: "1", 1: "2", "x": "3"},
        "a_b": "4",
        "c_d": "5",
        "e": "",
        "f_g": "7",
    }
