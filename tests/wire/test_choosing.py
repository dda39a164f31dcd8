"""Which library requests are sent with."""

from __future__ import annotations

import sys
from typing import Any

import httpx
import httpx2
import pytest

from b24oauth.errors import ConfigurationError
from b24oauth.wire import Wire
from b24oauth.wire.choosing import chosen_transport, library_of


@pytest.mark.parametrize(
    ("missing", "chosen"),
    [
        ((), "aiohttp"),
        (("msgspec",), "aiohttp"),
        (("orjson",), "aiohttp"),
        (("msgspec", "orjson"), "httpx2"),
        (("aiohttp",), "httpx2"),
        (("aiohttp", "httpx2"), "httpx"),
        (("msgspec", "orjson", "httpx2"), "httpx"),
    ],
)
def test_aiohttp_is_chosen_with_a_fast_reader_and_httpx2_before_httpx(
    missing: tuple[str, ...], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "orjson", object())
    for package in missing:
        monkeypatch.setitem(sys.modules, package, None)
    assert chosen_transport("auto") == chosen


@pytest.mark.parametrize(("name", "extra"), [("aiohttp", "speed"), ("httpx2", "httpx2")])
def test_what_is_asked_for_and_missing_names_the_remedy(name: Any, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_transport(name) == name
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError, match=rf'"{name}" .* pip install "b24oauth\[{extra}\]"'):
        chosen_transport(name)


def test_an_unknown_transport_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match='transport must be "auto", "httpx", "httpx2" or "aiohttp"'):
        chosen_transport("curl")  # type: ignore[arg-type]


class Own(httpx.AsyncClient):
    """A client of the caller's own class."""


def test_a_given_client_is_known_by_its_classes() -> None:
    assert library_of(httpx.AsyncClient()) == library_of(Own()) == "httpx"
    assert library_of(httpx2.AsyncClient()) == "httpx2"
    for other in (httpx.Client(), httpx.AsyncClient, "https://portal.example", object(), type("AsyncClient", (), {})()):
        assert library_of(other) is None


@pytest.mark.parametrize(
    "options",
    [{"transport": "httpx"}, {"proxy": "http://proxy:1"}, {"ssl_context": object()}],
    ids=lambda o: next(iter(o)),
)
def test_a_given_client_has_its_own_settings(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="http_client has"):
        Wire(httpx.AsyncClient(), **options)


def test_a_client_must_be_one() -> None:
    with pytest.raises(
        ConfigurationError, match=r"aiohttp\.ClientSession, .* httpx2\.AsyncClient or .* httpx\.AsyncClient"
    ):
        Wire("https://portal.example")


@pytest.mark.parametrize("name", ["timeout", "connect_timeout"])
@pytest.mark.parametrize("value", [0, -1, "3", True, float("nan")])
def test_timeouts_are_positive_numbers(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be a positive number"):
        Wire(**{name: value})
