"""Names of methods: what can be sent, and nothing that the portal would take for another address or for parameters."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any

import pytest

from b24oauth.errors import InvalidCallParamsError
from b24oauth.protocol.methods import checked_method, known_method

DOCUMENTED = Path(__file__).parents[1] / "data" / "method-names.txt"


def documented() -> list[str]:
    """All names of the documentation: a line for each scope, whose own name stands as a dash."""
    names: list[str] = []
    for line in DOCUMENTED.read_text(encoding="utf-8").splitlines():
        scope, _, rest = line.partition(": ")
        names += [scope if part == "-" else f"{scope}.{part}" for part in rest.split(" ")]
    return names


def test_every_documented_name_can_be_sent() -> None:
    names = documented()
    assert len(names) == 1657
    assert [checked_method(name) for name in names] == names


@pytest.mark.parametrize(
    "name", ["a", "x-y.z_1", "vendor.module2.my-method", "Task.item.list", "json", "a.jsonb", "1c"]
)
def test_other_plain_names_can_be_sent(name: str) -> None:
    assert checked_method(name) == name


class Methods(enum.StrEnum):
    GET = "crm.deal.get"


class Mixed(str, enum.Enum):  # noqa: UP042 - which shows itself otherwise
    GET = "crm.deal.get"


@pytest.mark.parametrize("name", [Methods.GET, Mixed.GET])
def test_a_member_of_an_enumeration_becomes_its_text(name: str) -> None:
    assert type(checked_method(name)) is str
    assert f"{checked_method(name)}" == "crm.deal.get"


BAD: list[tuple[Any, str]] = [
    ("", "must not be empty"),
    ("crm.deal.get?auth=1", "character 13 is '\\?'"),
    ("crm.deal.get&auth=1", "character 13 is '&'"),
    ("crm.deal.get#", "character 13 is '#'"),
    ("crm.deal.get%3Fa=1", "character 13 is '%'"),
    ("../oauth/token", "character 3 is '/'"),
    ("api/crm.deal.get", "character 4 is '/'"),
    ("..\\x", "character 3 is"),
    ("https://evil.example/", "character 6 is ':'"),
    ("crm deal", "character 4 is ' '"),
    (" crm.deal.get", "character 1 is ' '"),
    ("crm.deal.get\n", "character 13 is not printable ASCII"),
    ("crm.deal.get\0", "character 13 is not printable ASCII"),
    ("сrm.deal.get", "character 1 is not printable ASCII"),  # noqa: RUF001 - a Cyrillic letter
    ("crm.deal.get²", "character 13 is not printable ASCII"),
    ("crm\ud800", "must be Unicode text"),
    (".", "must not be empty, begin or end with a dot"),
    ("..", "must not be empty, begin or end with a dot"),
    ("...", "must not be empty, begin or end with a dot"),
    (".crm.deal.get", "must not be empty, begin or end with a dot"),
    ("crm.deal.get.", "must not be empty, begin or end with a dot"),
    ("crm..deal", "must not be empty, begin or end with a dot"),
    ("a" * 129, "at most 128 characters, not 129"),
    ("crm.deal.get.json", "must not end in '.json'"),
    ("batch.XML", "must not end in '.XML'"),
    (None, "must be a string, not NoneType"),
    (5, "must be a string, not int"),
    (b"crm.deal.get", "must be a string, not bytes"),
    (["crm.deal.get"], "must be a string, not list"),
    (enum.Enum("E", {"GET": "crm.deal.get"}).GET, "must be a string"),  # type: ignore[attr-defined]  # made here
]


@pytest.mark.parametrize(("name", "problem"), BAD)
def test_what_is_not_the_name_of_a_method_is_refused_and_not_repeated(name: Any, problem: str) -> None:
    with pytest.raises(InvalidCallParamsError, match=problem) as caught:
        checked_method(name, request_id="r-1")
    error = caught.value
    assert (error.code, error.status) == ("B24OAUTH_INVALID_METHOD_NAME", 400)
    assert error.request_info is not None
    assert error.request_info.request_id == "r-1"
    assert "evil" not in str(error)
    assert error.__context__ is None
    assert str(error).encode()


def test_a_name_is_judged_once() -> None:
    known_method.cache_clear()
    for _ in range(3):
        assert known_method("crm.deal.get") == "crm.deal.get"
    with pytest.raises(InvalidCallParamsError):
        known_method("crm.deal.get?")
    assert (known_method.cache_info().hits, known_method.cache_info().currsize) == (2, 1)
