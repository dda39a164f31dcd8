"""What the response to a download means: pure, from headers and bytes."""

from __future__ import annotations

from typing import Any

import pytest

from b24oauth.protocol.downloads import (
    belongs_to_portal,
    carries_token,
    file_head,
    last_segment,
    looks_like_page,
    tokens_in,
    told_error,
)

ROOT = "https://portal.example/rest/"


def head(status: int = 200, *, from_portal: bool = True, **headers: str) -> Any:
    return file_head(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, from_portal=from_portal
    )


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="a b.txt"', "a b.txt"),
        ("attachment; filename=a.txt", "a.txt"),
        ("inline; FILENAME=a.txt", "a.txt"),
        ("attachment; filename=\"stand-in.pdf\"; filename*=utf-8''%D0%9E%D1%82%D1%87%D1%91%D1%82.pdf", "Отчёт.pdf"),
        ("attachment; filename*=utf-8''a%2Fb.pdf; filename=x", "b.pdf"),
        ('attachment; filename="Отчёт.pdf"'.encode().decode("latin-1"), "Отчёт.pdf"),
        ('attachment; filename="naïve.txt"', "naïve.txt"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="..\\\\..\\\\evil.exe"', "evil.exe"),
        ('attachment; filename="a\tb.txt"', "ab.txt"),
        ('attachment; filename=".."', None),
        ('attachment; filename="/"', None),
        ('attachment; filename=""', None),
        ("attachment", None),
        ("", None),
        ("attachment; filename*=nonsense", "nonsense"),
    ],
)
def test_the_name_of_a_file_is_told_without_directories(disposition: str, name: str | None) -> None:
    assert head(content_disposition=disposition).name == name


@pytest.mark.parametrize(
    ("headers", "is_page", "may_be_error"),
    [
        ({"content_type": "text/html; charset=UTF-8"}, True, False),
        ({"content_type": "Application/XHTML+xml"}, True, False),
        ({"content_type": "application/json; charset=utf-8"}, False, True),
        ({"content_type": "text/plain"}, False, True),
        ({}, False, True),
        ({"content_type": "image/png"}, False, False),
        ({"content_type": "text/html", "content_disposition": "attachment; filename=a.html"}, False, False),
        ({"content_type": "application/json", "content_disposition": "attachment"}, False, False),
        ({"content_type": "text/html", "from_portal": False}, False, False),
        ({"content_type": "application/json", "from_portal": False}, False, False),
    ],
)
def test_a_page_is_told_from_a_file(headers: dict[str, Any], is_page: bool, may_be_error: bool) -> None:
    found = head(**headers)
    assert (found.is_page, found.may_be_error) == (is_page, may_be_error)


@pytest.mark.parametrize(
    ("status", "headers", "begin", "size"),
    [
        (200, {"content_length": "10"}, 0, 10),
        (200, {}, 0, None),
        (200, {"content_length": "many"}, 0, None),
        (200, {"content_length": "9" * 30}, 0, None),
        (200, {"content_length": "10", "content_encoding": "gzip"}, 0, None),
        (200, {"content_length": "10", "content_range": "bytes 5-9/10"}, 0, 10),
        (206, {"content_length": "5", "content_range": "bytes 5-9/10"}, 5, 10),
        (206, {"content_length": "5", "content_range": "bytes 5-9/*"}, 5, None),
        (206, {"content_length": "5"}, None, None),
        (206, {"content_range": "bytes */10"}, None, None),
    ],
)
def test_place_and_size_are_read(status: int, headers: dict[str, str], begin: int | None, size: int | None) -> None:
    found = head(status, **headers)
    assert (found.begin, found.size) == (begin, size)


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"etag": '"x"', "last_modified": "Mon"}, '"x"'),
        ({"etag": 'W/"x"', "last_modified": "Mon"}, "Mon"),
        ({"etag": 'W/"x"'}, None),
        ({"last_modified": "Mon"}, "Mon"),
        ({}, None),
        ({"etag": '"x"', "accept_ranges": "none"}, None),
        ({"etag": '"x"', "content_encoding": "gzip"}, None),
    ],
)
def test_only_a_strong_validator_lets_a_download_go_on(headers: dict[str, str], validator: str | None) -> None:
    assert head(**headers).validator == validator


@pytest.mark.parametrize(
    ("url", "home", "token"),
    [
        ("https://portal.example/rest/download.json?auth=1&token=2", True, True),
        ("https://PORTAL.example:443/x?auth%5Bauth%5D=1", True, True),
        ("https://portal.example/x?access_token=1", True, True),
        ("https://portal.example/rest/download.json?token=2", True, False),
        ("https://portal.example/x?author=1", True, False),
        ("https://portal.example.evil.com/rest/", False, False),
        ("https://portal.example:8443/rest/", False, False),
        ("http://portal.example/rest/", False, False),
    ],
)
def test_addresses_of_the_portal_and_with_tokens_are_told_from_others(url: str, home: bool, token: bool) -> None:
    assert (belongs_to_portal(url, ROOT), carries_token(url)) == (home, token)


def test_tokens_in_an_address_are_found() -> None:
    assert tokens_in("https://x/?auth=a%2Fb&token=disk%7Cc&id=5&auth[auth]=d") == ("a/b", "disk|c", "d")


def test_the_path_of_an_address_names_a_file() -> None:
    assert last_segment("https://x/a/%D0%9E%2Fb.png?x=/y") == "b.png"
    assert last_segment("https://x/") is None


@pytest.mark.parametrize(
    ("body", "is_error"),
    [
        ({"error": "X"}, True),
        ({"error": ""}, True),
        ({"error": {"code": "X"}}, True),
        ({"status": "error", "errors": [], "data": None}, True),
        ({"status": "success", "errors": []}, False),
        ({"status": "error"}, False),
        ({"rows": []}, False),
        ([{"error": "X"}], False),
        (None, False),
    ],
)
def test_errors_are_told_from_other_json(body: object, is_error: bool) -> None:
    assert told_error(body) is is_error


@pytest.mark.parametrize(
    ("body", "is_page"), [(b"<!DOCTYPE html>", True), (b"\n <HTML>", True), (b"<xml>", False), (b"", False)]
)
def test_pages_are_known_by_their_beginning(body: bytes, is_page: bool) -> None:
    assert looks_like_page(body) is is_page
