"""Downloads: whole files or errors, resumed where that is possible, and tokens for the portal only."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import anyio
import attrs
import httpx
import pytest

from b24oauth import (
    AccessDeniedError,
    AjaxError,
    ApiVersion,
    B24OAuth,
    ClientStateError,
    ConfigurationError,
    NetworkError,
    NotFoundError,
    RateLimitConfig,
    RestrictionParams,
)
from b24oauth.downloads import Download
from b24oauth.errors import (
    AuthRefusedError,
    BadResponseError,
    ExpiredTokenError,
    RequestTimeoutError,
    UntrustedHostError,
)
from b24oauth.testing import FakePortal, faults
from b24oauth.testing.messages import Answer
from tests.support.clients import UNLIMITED, connected, fake_portal
from tests.support.spies import assert_error_is_clean, clean_logs, redirect, watched

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 12_000
STORAGE = "https://storage.example"


def with_file(content: bytes = CONTENT, name: str = "report.pdf", **options: Any) -> FakePortal:
    """A portal with one file, whose identifier is 1."""
    portal = fake_portal(**options)
    assert portal.files.add(name, content) == 1
    return portal


async def address(b24: B24OAuth) -> str:
    """A signed address, as the portal gives it."""
    url: str = (await b24.actions.v2.call.make("disk.file.get", {"id": 1})).result["DOWNLOAD_URL"]
    return url


def answered(body: Any, status: int = 200, **headers: str) -> faults.Fault:
    """Some other answer instead of the file."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())

    async def fault(_: Callable[[], Awaitable[Answer]]) -> Answer:
        return Answer(status=status, body=raw, headers=named)

    return fault


def without(*names: str) -> faults.Fault:
    """The file, without some of its headers."""

    async def fault(process: Callable[[], Awaitable[Answer]]) -> Answer:
        answer = await process()
        return attrs.evolve(answer, headers=tuple(pair for pair in answer.headers if pair[0] not in names))

    return fault


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def downloads(portal: FakePortal) -> list[Any]:
    return [
        (request.status, request.headers.get("range")) for request in portal.requests if request.method == "download"
    ]


# --- where it goes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [1, "1"])
@pytest.mark.parametrize("as_text", [True, False])
async def test_a_file_of_the_drive_is_written_to_a_path(tmp_path: Path, source: str | int, as_text: bool) -> None:
    portal, to = with_file(name="Отчёт 1.pdf"), tmp_path / "out.bin"
    to.write_bytes(b"older and longer" * 1_000_000)
    async with connected(portal) as b24:
        done = await b24.download(source, str(to) if as_text else to)
    assert done == Download(name="Отчёт 1.pdf", size=len(CONTENT), content_type="application/pdf")
    assert to.read_bytes() == CONTENT
    assert names(tmp_path) == [to.name]


class AsyncWriter:
    def __init__(self) -> None:
        self.taken = b""

    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0)
        self.taken += data


class ShortWriter:
    """Takes a part of what it is given, as unbuffered files may."""

    def __init__(self) -> None:
        self.taken = b""

    def write(self, data: bytes) -> int:
        taken = min(len(data), 5000)
        self.taken += data[:taken]
        return taken


async def test_a_file_is_written_to_any_object_with_write(tmp_path: Path) -> None:
    portal = with_file()
    memory, slow, short = io.BytesIO(b"before"), AsyncWriter(), ShortWriter()
    memory.seek(6)
    async with connected(portal) as b24:
        for to in (memory, slow, short):
            assert (await b24.download(1, to=to)).size == len(CONTENT)
        async with await anyio.open_file(tmp_path / "a.bin", "wb") as file:
            await b24.download(1, file)
    assert memory.getvalue() == b"before" + CONTENT
    assert slow.taken == short.taken == (tmp_path / "a.bin").read_bytes() == CONTENT


async def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    async with connected(with_file(b"")) as b24:
        assert (await b24.download(1, tmp_path / "empty")).size == 0
    assert (tmp_path / "empty").read_bytes() == b""


@pytest.mark.parametrize("returned", [True, False, None, "written", 1.5])
async def test_what_write_returns_counts_only_when_it_is_a_number_of_bytes(returned: Any) -> None:
    taken: list[bytes] = []

    class Writer:
        def write(self, data: bytes) -> Any:
            assert len(taken) < 1_000
            taken.append(data)
            return returned

    async with connected(with_file()) as b24:
        await b24.download(1, Writer())
    assert b"".join(taken) == CONTENT


@pytest.mark.parametrize("returned", [0, -1])
async def test_bytes_that_are_not_taken_are_an_error(returned: int) -> None:
    class Writer:
        def write(self, data: bytes) -> int:
            del data
            return returned

    async with connected(with_file()) as b24:
        with pytest.raises(OSError, match="`to`"):
            await b24.download(1, Writer())


@pytest.mark.parametrize("to", [None, 5, b"path", object(), "", ".", "/", Path("/"), "a\0b"])
async def test_what_cannot_be_written_to_is_refused(to: Any) -> None:
    portal = with_file()
    async with connected(portal) as b24:
        with pytest.raises(ConfigurationError, match="`to` must be"):
            await b24.download(1, to)
    assert not portal.requests


@pytest.mark.parametrize(
    "source", ["", "  ", None, 0, -1, "0", "00", "9" * 5_000, True, 1.5, b"https://portal.example/x", ["x"]]
)
async def test_what_names_no_file_is_refused(source: Any) -> None:
    portal = with_file()
    async with connected(portal) as b24:
        with pytest.raises(ConfigurationError, match="the file is named by"):
            await b24.download(source, io.BytesIO())
    assert not portal.requests


async def test_a_path_that_cannot_be_written_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    portal = with_file()
    async with connected(portal) as b24:
        with pytest.raises(IsADirectoryError):
            await b24.download(1, tmp_path)
        with pytest.raises(FileNotFoundError):
            await b24.download(1, tmp_path / "none" / "a.bin")
    assert not portal.requests


# --- from where -------------------------------------------------------------------------------------------------------


async def test_addresses_of_responses_are_good_as_they_are() -> None:
    portal = with_file()
    async with connected(portal) as b24:
        await b24.actions.v2.call.make("crm.item.update", {"id": 1, "fields": {"ufCrmFile": ["a.txt", "aGVsbG8="]}})
        item = (await b24.actions.v2.call.make("crm.item.get", {"id": 1})).result["item"]
        url = await address(b24)
        for source, content in [
            (item["ufCrmFile"]["urlMachine"], b"hello"),
            (url, CONTENT),
            (url.removeprefix("https://portal.example"), CONTENT),
            (f"  {url}\n", CONTENT),
        ]:
            to = io.BytesIO()
            await b24.download(source, to)
            assert to.getvalue() == content


async def test_an_address_without_a_token_gets_it_in_a_header() -> None:
    portal = with_file()
    async with watched(portal) as seen:
        token = seen.b24.auth.get_params().access_token
        # For a call whose token came in a header, the portal signs addresses without one.
        answer = await seen.b24.actions.v2.call.make("disk.file.get", {"id": 1})
        signed, link = next(iter(portal.files.links.items()))
        link.auth = ""
        to = io.BytesIO()
        await seen.b24.download(f"/rest/download.json?{urlencode({'token': signed})}", to)
        assert to.getvalue() == CONTENT
        assert token in answer.result["DOWNLOAD_URL"]
        assert token not in str(seen.wire.requests[-1].url)
        portal.expire_tokens()
        await seen.b24.download(f"/rest/download.json?{urlencode({'token': signed})}", to)
        seen.assert_secrets_stayed_home()
    assert len(portal.token_requests) == 1


async def test_an_address_from_elsewhere_is_asked_for_without_the_token() -> None:
    portal = with_file(storage_origin=STORAGE)
    async with watched(portal) as seen:
        await seen.b24.download(1, io.BytesIO())
        stored = str(seen.wire.sent_to(STORAGE)[-1].url)
        portal.expire_tokens()
        to = io.BytesIO()
        done = await seen.b24.download(stored, to)
        token = seen.b24.auth.get_params().access_token
        assert seen.wire.hosts_that_heard(token) == {"https://portal.example"}
    assert (to.getvalue(), done.name) == (CONTENT, "report.pdf")
    assert not portal.token_requests  # nothing had to be renewed for it


async def test_a_redirect_to_a_storage_is_followed_without_the_token() -> None:
    portal = with_file(storage_origin=STORAGE)
    async with watched(portal) as seen:
        to = io.BytesIO()
        done = await seen.b24.download(1, to)
        seen.assert_secrets_stayed_home()
        [request] = seen.wire.sent_to(STORAGE)
        assert not {"authorization", "referer", "cookie"} & set(request.headers)
    assert (to.getvalue(), done.size) == (CONTENT, len(CONTENT))


async def test_a_token_in_a_header_is_left_behind_at_a_redirect() -> None:
    portal = with_file()
    portal.inject(redirect(302, f"{STORAGE}/x"), on="catalog.product.download")
    portal.inject(answered(b"content", content_type="image/png"), on="x")
    async with watched(portal) as seen:
        to = io.BytesIO()
        done = await seen.b24.download("/rest/catalog.product.download?fields%5BfileId%5D=5", to)
        [asked] = [one for one in seen.wire.requests if "catalog" in str(one.url)]
        token = seen.b24.auth.get_params().access_token
        assert asked.headers["authorization"] == f"Bearer {token}"
        assert token not in str(asked.url)
        assert seen.wire.hosts_that_heard(token) == {"https://portal.example"}
    assert (to.getvalue(), done) == (b"content", Download(name="x", size=7, content_type="image/png"))


async def test_a_host_that_sends_back_to_the_portal_gets_no_token_sent_there() -> None:
    portal = with_file()
    portal.inject(redirect(302, "https://portal.example/rest/catalog.product.download?fileId=1"), on="y")
    async with watched(portal) as seen:
        with pytest.raises(AjaxError):
            await seen.b24.download("https://elsewhere.example/y", io.BytesIO())
        assert len(seen.wire.requests) == 2
        assert not seen.wire.hosts_that_heard(seen.b24.auth.get_params().access_token)


@pytest.mark.parametrize("as_redirect", [True, False])
async def test_t11_an_address_that_carries_a_token_to_another_host_is_refused(as_redirect: bool) -> None:
    portal = with_file()
    async with watched(portal) as seen:
        url = (await address(seen.b24)).replace("https://portal.example", "https://evil.example")
        if as_redirect:
            portal.inject(redirect(307, url), on="download")
        with pytest.raises(UntrustedHostError, match="leads to evil") as caught:
            await seen.b24.download(1 if as_redirect else url, io.BytesIO())
        seen.assert_secrets_stayed_home()
        assert not seen.wire.sent_to("https://evil.example")
    assert seen.pairs[0].access_token not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://portal.example/rest/download.json?auth=1",
        "https://user:password@portal.example/x",
        "ftp://portal.example/x",
        "javascript:alert(1)",
        "https://[::1",
        "https://",
        "https:download.json",
    ],
)
@pytest.mark.parametrize("as_redirect", [True, False])
async def test_an_address_that_is_not_plain_https_is_refused(url: str, as_redirect: bool) -> None:
    portal = with_file()
    if as_redirect:
        portal.inject(redirect(302, url), on="download", times=None)
    async with watched(portal) as seen:
        # httpx itself refuses some redirects, as an answer that cannot be read.
        with pytest.raises((UntrustedHostError, NetworkError) if as_redirect else UntrustedHostError):
            await seen.b24.download(1 if as_redirect else url, io.BytesIO())
        seen.assert_secrets_stayed_home()
    assert bool(downloads(portal)) is as_redirect


async def test_redirects_are_bounded() -> None:
    portal = with_file()
    portal.inject(redirect(302, "/rest/download.json?auth=x"), on="download", times=None)
    async with connected(portal) as b24:
        with pytest.raises(BadResponseError, match="redirected too often"):
            await b24.download(1, io.BytesIO())
    assert len(downloads(portal)) == 6


# --- what is no file --------------------------------------------------------------------------------------------------

PAGE = b"<!DOCTYPE html><html><body>Log in</body></html>"


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        (answered(PAGE, content_type="text/html; charset=UTF-8"), BadResponseError, "B24OAUTH_DOWNLOAD_PAGE"),
        (answered(b"  " + PAGE), BadResponseError, "B24OAUTH_DOWNLOAD_PAGE"),
        (answered({"error": "NOT_FOUND"}, content_type="application/json"), NotFoundError, "NOT_FOUND"),
        (answered({"error": "ACCESS_DENIED"}, content_type="application/json; charset=utf-8"), AccessDeniedError, None),
        (answered({"error": {"code": "X", "message": "m"}}, content_type="application/json"), AjaxError, "X"),
        (answered({"status": "error", "errors": [{"code": "x"}]}, content_type="application/json"), AjaxError, None),
        (answered(b'{"error": "NOT_FOUND"}', content_type="text/plain"), NotFoundError, None),
        (answered({"error": "ACCESS_DENIED"}, 403, content_type="application/json"), AccessDeniedError, None),
        (answered(PAGE, 404, content_type="text/html"), NotFoundError, None),
        (answered(PAGE, 401, content_type="text/html"), AuthRefusedError, None),
        (answered(b"", 302), AjaxError, None),
    ],
)
async def test_an_error_or_a_page_is_never_stored_as_the_file(
    tmp_path: Path, fault: faults.Fault, error: type[AjaxError], code: str | None
) -> None:
    portal, to = with_file(), tmp_path / "out.bin"
    to.write_bytes(b"older")
    portal.inject(fault, on="download", times=None)
    memory = io.BytesIO()
    async with connected(portal) as b24:
        with pytest.raises(error) as caught:
            await b24.download(1, to)
        with pytest.raises(error):
            await b24.download(1, memory)
    assert code in (None, caught.value.code)
    assert caught.value.request_info is not None
    assert caught.value.request_info.method == "download"
    assert (to.read_bytes(), memory.getvalue()) == (b"older", b"")
    assert names(tmp_path) == [to.name]
    assert len(downloads(portal)) == 2  # a repeat would bring the same


@pytest.mark.parametrize("name", ["page.html", "data.json", "notes.txt"])
async def test_files_of_these_kinds_are_files(name: str) -> None:
    portal = with_file(PAGE if "html" in name else b'{"error": "is the content"}', name)
    async with connected(portal) as b24:
        to = io.BytesIO()
        assert (await b24.download(1, to)).name == name
    assert to.getvalue() == portal.files.get(1).content  # type: ignore[union-attr]


@pytest.mark.parametrize("content", [b'{"rows": []}', b'{"error": "' + b"x" * 100_000, b"plain"])
async def test_json_that_is_no_error_is_a_file_even_without_a_name(content: bytes) -> None:
    portal = with_file(content, "data.json")
    portal.inject(without("content-disposition"), on="download")
    async with connected(portal) as b24:
        to = io.BytesIO()
        await b24.download(1, to)
    assert to.getvalue() == content


async def test_a_page_for_a_browser_is_not_the_file() -> None:
    portal = with_file()
    async with connected(portal) as b24:
        await b24.actions.v2.call.make("crm.item.update", {"id": 1, "fields": {"ufCrmFile": ["a.txt", "aGVsbG8="]}})
        item = (await b24.actions.v2.call.make("crm.item.get", {"id": 1})).result["item"]
        with pytest.raises(BadResponseError, match="only works in a browser"):
            await b24.download(item["ufCrmFile"]["url"], io.BytesIO())
        portal.inject(answered({"status": "error", "data": None, "errors": [{"code": "invalid_csrf"}]}))
        with pytest.raises(BadResponseError, match="take another address"):
            await b24.download(f"{portal.origin}/bitrix/services/main/ajax.php", io.BytesIO())


@pytest.mark.parametrize("token", ["", "&auth=no-such-token"])
async def test_a_form_to_log_in_is_not_the_file(token: str) -> None:
    portal = with_file()
    async with connected(portal) as b24:
        await b24.actions.v2.call.make(
            "crm.deal.update", {"id": 1, "fields": {"UF_CRM_FILE": {"fileData": ["a.txt", "aGVsbG8="]}}}
        )
        deal = (await b24.actions.v2.call.make("crm.deal.get", {"id": 1})).result
        page = deal["UF_CRM_FILE"]["showUrl"]
        to = io.BytesIO()
        with pytest.raises(BadResponseError) as caught:
            await b24.download(f"{portal.origin}{page}{token}", to)
    assert caught.value.code == "B24OAUTH_DOWNLOAD_PAGE"
    assert not to.getvalue()


async def test_a_file_that_does_not_exist_is_told_by_its_error() -> None:
    async with connected(with_file()) as b24:
        with pytest.raises(AjaxError) as caught:
            await b24.download(2, io.BytesIO())
    assert caught.value.code == "ERROR_NOT_FOUND"


@pytest.mark.parametrize("answer", [{"NAME": "x"}, [], None, {"DOWNLOAD_URL": ""}, {"DOWNLOAD_URL": 5}])
async def test_a_drive_that_gives_no_address_is_told(answer: Any) -> None:
    portal = with_file()
    portal.method("disk.file.get", lambda _: answer)
    async with connected(portal) as b24:
        with pytest.raises(BadResponseError, match="DOWNLOAD_URL"):
            await b24.download(1, io.BytesIO())


# --- tokens -----------------------------------------------------------------------------------------------------------


async def test_t5_a_token_that_expires_on_the_way_is_renewed_once() -> None:
    portal = with_file()
    portal.inject(faults.status(401, error="expired_token"), on="download")
    async with connected(portal) as b24:
        to = io.BytesIO()
        await b24.download(1, to)
        assert to.getvalue() == CONTENT
        portal.inject(faults.status(401, error="expired_token"), on="download", times=None)
        with pytest.raises(ExpiredTokenError):
            await b24.download(1, to)
    assert len(portal.token_requests) == 2


async def test_an_address_whose_token_has_expired_says_what_to_do() -> None:
    portal = with_file()
    async with connected(portal) as b24:
        url = await address(b24)
        portal.expire_tokens()
        with pytest.raises(ExpiredTokenError) as caught:
            await b24.download(url, io.BytesIO())
    assert caught.value.__notes__ == ["The token in the address is refused: read the address again"]
    assert not portal.token_requests


async def test_a_signed_address_is_sent_as_it_is_with_the_headers_of_a_download() -> None:
    portal = with_file()
    async with watched(portal) as seen:
        url = await address(seen.b24)
        await seen.b24.download(url, io.BytesIO())
        asked = seen.wire.requests[-1]
    assert str(asked.url) == str(httpx.URL(url))
    assert "authorization" not in asked.headers
    assert asked.headers["referer"] == "https://portal.example/"
    assert asked.headers["accept"] == "*/*"
    assert asked.headers["accept-encoding"] == "identity"
    assert asked.headers["user-agent"].startswith("b24-python-oauth/")


# --- broken off -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to_memory", [True, False])
@pytest.mark.parametrize("by_address", [True, False])
async def test_a_download_that_breaks_off_is_resumed(tmp_path: Path, to_memory: bool, by_address: bool) -> None:
    portal = with_file()
    portal.inject(faults.break_off(1_500_000), on="download")
    portal.inject(faults.break_off(500_000), on="download")
    to: Any = io.BytesIO() if to_memory else tmp_path / "out.bin"
    seen: list[tuple[int, int | None]] = []
    async with connected(portal) as b24:
        source = await address(b24) if by_address else 1
        done = await b24.download(source, to, on_progress=lambda *told: seen.append(told))
    assert (to.getvalue() if to_memory else to.read_bytes()) == CONTENT
    assert done.size == len(CONTENT)
    assert downloads(portal) == [(200, None), (206, "bytes=1500000-"), (206, "bytes=2000000-")]
    assert seen == [(size, len(CONTENT)) for size in (1_500_000, 2_000_000, len(CONTENT))]


@pytest.mark.parametrize("dates_only", [True, False])
async def test_another_version_of_the_file_begins_anew(tmp_path: Path, dates_only: bool) -> None:
    portal, to = with_file(), tmp_path / "out.bin"

    async def changes(process: Callable[[], Awaitable[Answer]]) -> Answer:
        answer = await process()
        await asyncio.sleep(5)
        portal.files.put(1, "report.pdf", b"new" * 1000)
        headers = tuple(pair for pair in answer.headers if not dates_only or pair[0] != "etag")
        return attrs.evolve(answer, headers=headers, breaks_after=1000)

    portal.inject(changes, on="download")
    async with connected(portal) as b24:
        done = await b24.download(1, to)
    assert to.read_bytes() == b"new" * 1000
    assert done.size == 3000
    assert downloads(portal) == [(200, None), (200, "bytes=1000-")]


@pytest.mark.parametrize(
    "fault",
    [
        answered(b"", 416, content_range="bytes */5"),
        answered(b"tail", 206, content_range="bytes 7-10/11", etag='"x"'),
        answered(b"tail", 206, content_range="bytes 1000-1003/1004", etag='"another"'),
        answered(b"tail", 206, content_range="nonsense"),
    ],
)
async def test_a_part_that_does_not_fit_begins_anew(fault: faults.Fault) -> None:
    portal = with_file()
    portal.inject(faults.break_off(1000), on="download")
    portal.inject(fault, on="download")
    to = io.BytesIO()
    async with connected(portal, restriction_params=attrs.evolve(UNLIMITED, max_retries=4)) as b24:
        await b24.download(1, to)
    assert to.getvalue() == CONTENT
    assert downloads(portal)[-1] == (200, None)


@pytest.mark.parametrize("how", ["no ranges", "no validator"])
async def test_where_nothing_can_be_resumed_the_download_begins_anew(how: str) -> None:
    portal = with_file(download_ranges=how != "no ranges")

    async def broken(process: Callable[[], Awaitable[Answer]]) -> Answer:
        answer = await process() if how == "no ranges" else await without("etag", "last-modified")(process)
        return attrs.evolve(answer, breaks_after=1000)

    portal.inject(broken, on="download")
    to, one_way = io.BytesIO(), AsyncWriter()
    async with connected(portal) as b24:
        await b24.download(1, to)
        assert to.getvalue() == CONTENT
        portal.inject(broken, on="download")
        with pytest.raises(NetworkError, match="cannot be written to from its beginning again"):
            await b24.download(1, one_way)
    assert one_way.taken == CONTENT[:1000]
    assert {part for _, part in downloads(portal)} == {None}


async def test_one_use_addresses_of_the_drive_are_read_again_for_each_attempt() -> None:
    portal = with_file(one_use_downloads=True)
    portal.inject(faults.break_off(1000), on="download")
    async with connected(portal) as b24:
        to = io.BytesIO()
        await b24.download(1, to)
        url = await address(b24)
        await b24.download(url, io.BytesIO())
        with pytest.raises(AccessDeniedError, match="Link check failed"):
            await b24.download(url, io.BytesIO())
    assert to.getvalue() == CONTENT


async def test_a_download_gives_up_after_as_many_attempts_as_a_call(tmp_path: Path) -> None:
    portal = with_file()
    portal.inject(faults.break_off(1000), on="download", times=None)
    async with connected(portal) as b24:
        with pytest.raises(NetworkError, match="did not answer download"):
            await b24.download(1, tmp_path / "out.bin")
    assert len(downloads(portal)) == UNLIMITED.max_retries
    assert names(tmp_path) == []


async def test_nothing_is_sent_when_no_attempt_is_allowed(tmp_path: Path) -> None:
    portal = with_file()
    never = attrs.evolve(UNLIMITED, max_retries=0)
    async with connected(portal, restriction_params=never) as b24:
        with pytest.raises(AjaxError) as caught:
            await b24.download("https://storage.example/a.pdf", tmp_path / "out.bin")
    assert caught.value.code == "B24OAUTH_CALL_ALL_ATTEMPTS_EXHAUSTED"
    assert not portal.requests
    assert names(tmp_path) == []


async def test_a_body_shorter_than_it_says_is_no_whole_file(tmp_path: Path) -> None:
    portal = with_file()
    short = answered(b"short", content_type="application/pdf", content_disposition="attachment", content_length="10")
    portal.inject(short, on="download", times=None)
    async with connected(portal) as b24:
        with pytest.raises(NetworkError, match="after 5 of 10 bytes"):
            await b24.download(1, tmp_path / "out.bin")
    assert names(tmp_path) == []


async def test_a_server_that_sends_nothing_more_is_left_and_asked_for_the_rest() -> None:
    portal = with_file()
    portal.inject(faults.break_off(1000, stall=True), on="download")
    to = io.BytesIO()
    async with connected(portal, timeout=10.0) as b24:
        await b24.download(1, to)
    assert to.getvalue() == CONTENT
    assert portal.clock.elapsed == pytest.approx(11, abs=1)


@pytest.mark.parametrize("fault", [faults.refuse(), faults.drop_before(), faults.status(502), faults.html(503)])
async def test_what_a_call_is_repeated_for_a_download_is_too(fault: faults.Fault) -> None:
    portal = with_file()
    portal.inject(fault, on="download")
    to = io.BytesIO()
    async with connected(portal) as b24:
        await b24.download(1, to)
    assert to.getvalue() == CONTENT
    assert len(downloads(portal)) == 2


async def test_a_busy_storage_says_nothing_of_the_portals_limits() -> None:
    portal = with_file(storage_origin=STORAGE)
    portal.inject(faults.status(503), on="0/report.pdf")
    portal.inject(faults.status(401, error="expired_token"), on="1/report.pdf")
    limits = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=50, drain_rate=50))
    to = io.BytesIO()
    async with connected(portal, restriction_params=limits) as b24:
        await b24.download(1, to)
        assert b24.get_http_client(ApiVersion.V2).get_stats().limits.drain_rate == 50
    assert to.getvalue() == CONTENT
    assert portal.clock.elapsed < 3
    assert not portal.token_requests


# --- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [True, False])
async def test_a_file_may_be_as_large_as_is_allowed_and_not_larger(tmp_path: Path, told: bool) -> None:
    portal = with_file()

    async def untold(process: Callable[[], Awaitable[Answer]]) -> Answer:
        answer = await process()
        return answer if told else attrs.evolve(answer, headers=(*answer.headers, ("content-encoding", "identity")))

    portal.inject(untold, on="download", times=None)
    async with connected(portal) as b24:
        await b24.download(1, tmp_path / "fits", max_bytes=len(CONTENT))
        await b24.download(1, tmp_path / "unlimited", max_bytes=None)
        with pytest.raises(BadResponseError, match="larger than the 3071999 bytes") as caught:
            await b24.download(1, tmp_path / "large", max_bytes=len(CONTENT) - 1)
    assert caught.value.code == "B24OAUTH_DOWNLOAD_TOO_LARGE"
    assert names(tmp_path) == ["fits", "unlimited"]
    assert len(downloads(portal)) == 3


@pytest.mark.parametrize("most", [-1, 1.5, "10", True])
async def test_a_bound_that_is_no_number_of_bytes_is_refused(most: Any) -> None:
    async with connected(with_file()) as b24:
        with pytest.raises(ConfigurationError, match="max_bytes"):
            await b24.download(1, io.BytesIO(), max_bytes=most)


async def test_a2_a_timeout_covers_everything(tmp_path: Path) -> None:
    portal = with_file()
    portal.inject(faults.break_off(1000, stall=True), on="download", times=None)
    async with connected(portal) as b24:
        with pytest.raises(RequestTimeoutError, match="within 5 seconds"):
            await b24.download(1, tmp_path / "out.bin", timeout=5)
    assert portal.clock.elapsed == pytest.approx(5, abs=0.1)
    assert names(tmp_path) == []


async def test_a_download_waits_for_its_place_in_the_portals_bucket() -> None:
    portal = with_file(b"small", burst=2, drain=1)
    limits = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=2, drain_rate=1))
    async with connected(portal, restriction_params=limits) as b24:
        for _ in range(3):
            await b24.download(1, io.BytesIO())
    assert portal.refused == 0
    assert portal.clock.elapsed == pytest.approx(4, abs=0.5)


async def test_l5_a_download_that_the_bucket_refuses_is_repeated() -> None:
    portal = with_file(b"small", burst=2, drain=1)
    async with connected(portal) as b24:
        for _ in range(3):
            await b24.download(1, io.BytesIO())
    assert portal.refused > 0


async def test_l4_a_download_refused_for_its_execution_time_waits_for_the_budget() -> None:
    portal = with_file()
    portal.inject(faults.status(429, error="OPERATION_TIME_LIMIT"), on="download")
    to = io.BytesIO()
    async with connected(portal) as b24:
        await b24.download(1, to)
    assert to.getvalue() == CONTENT
    assert [status for status, _ in downloads(portal)] == [429, 200]
    assert portal.clock.elapsed >= 5


async def test_a_callback_of_the_renewal_may_download() -> None:
    portal, to = with_file(), io.BytesIO()
    async with connected(portal, max_concurrency=1) as b24:

        async def download(_: Any) -> None:
            await b24.download(1, to, timeout=5)

        b24.set_callback_refresh_auth(download)
        portal.expire_tokens()
        assert (await b24.actions.v2.call.make("profile", timeout=20)).is_success
    assert to.getvalue() == CONTENT


async def test_a_download_that_was_never_sent_does_not_count_as_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[Any] = []
    portal = with_file()
    portal.inject(faults.refuse(), on="download")
    async with connected(portal) as b24:
        rate = b24._http[ApiVersion.V2]._services.limits.rate
        monkeypatch.setattr(rate, "not_sent", places.append)
        await b24.download(1, io.BytesIO())
    assert len(places) == 1


async def test_a_long_download_keeps_no_call_waiting() -> None:
    portal = with_file()
    portal.inject(faults.break_off(1000, stall=True), on="download")
    async with connected(portal, max_concurrency=1) as b24:
        reading = asyncio.create_task(b24.download(1, io.BytesIO()))
        await asyncio.sleep(1)
        assert (await b24.actions.v2.call.make("profile", timeout=5)).is_success
        assert not reading.done()
        await reading


# --- progress ---------------------------------------------------------------------------------------------------------


async def test_progress_may_be_awaited_and_use_the_client() -> None:
    portal, seen = with_file(), list[Any]()

    async with connected(portal) as b24:

        async def tell(done: int, total: int | None) -> None:
            seen.append((done, total, (await b24.actions.v2.call.make("profile")).is_success))

        await b24.download(1, io.BytesIO(), on_progress=tell)
    assert seen == [(len(CONTENT), len(CONTENT), True)]


@pytest.mark.parametrize(
    "raised", [NetworkError("mine", code="NETWORK_ERROR"), ValueError("mine"), TimeoutError("mine")]
)
async def test_an_error_of_the_callers_code_ends_the_download_and_is_not_repeated(
    tmp_path: Path, raised: Exception
) -> None:
    portal = with_file()

    def fail(_: int, __: int | None) -> None:
        raise raised

    async with connected(portal) as b24:
        with pytest.raises(type(raised), match="mine"):
            await b24.download(1, tmp_path / "out.bin", on_progress=fail)
    assert len(downloads(portal)) == 1
    assert names(tmp_path) == []


# --- the end ----------------------------------------------------------------------------------------------------------


async def test_a_cancelled_download_leaves_nothing_behind(tmp_path: Path) -> None:
    portal, to = with_file(), tmp_path / "out.bin"
    to.write_bytes(b"older")
    portal.inject(faults.break_off(2_000_000, stall=True), on="download")
    async with connected(portal) as b24:
        before, told = len(asyncio.all_tasks()), asyncio.Event()
        reading = asyncio.create_task(b24.download(1, to, on_progress=lambda *_: told.set()))
        await told.wait()
        assert len(names(tmp_path)) == 2
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert len(asyncio.all_tasks()) == before
    assert (names(tmp_path), to.read_bytes()) == (["out.bin"], b"older")


async def test_a_download_that_is_cancelled_while_a_thread_writes_waits_for_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from b24oauth import sinks

    going_on, closed = threading.Event(), list[bool]()
    write = sinks._File._write

    def slow(self: Any, data: bytearray) -> None:
        going_on.wait(5)
        closed.append(self._file is None or self._file.closed)
        write(self, data)

    monkeypatch.setattr(sinks._File, "_write", slow)
    async with connected(with_file()) as b24:
        reading = asyncio.create_task(b24.download(1, tmp_path / "out.bin"))
        await asyncio.sleep(1)
        for _ in range(3):
            reading.cancel()
            await asyncio.sleep(0)
        for _ in range(20):
            await anyio.to_thread.run_sync(int)  # other threads have the time to close the file
        assert not reading.done()
        going_on.set()
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert closed == [False]
    assert names(tmp_path) == []


async def test_a1_closing_the_client_ends_a_download(tmp_path: Path) -> None:
    portal = with_file()
    portal.inject(faults.break_off(1000, stall=True), on="download", times=None)
    async with connected(portal) as b24:
        told = asyncio.Event()
        reading = asyncio.create_task(b24.download(1, tmp_path / "out.bin", on_progress=lambda *_: told.set()))
        await told.wait()
        elapsed = portal.clock.elapsed
        await b24.aclose()
        with pytest.raises(ClientStateError):
            await reading
        assert portal.clock.elapsed == pytest.approx(elapsed, abs=0.01)
        with pytest.raises(ClientStateError):
            await b24.download(1, tmp_path / "out.bin")
    assert not reading.cancelled()
    assert names(tmp_path) == []


async def test_a_client_can_be_closed_by_its_own_progress_callback(tmp_path: Path) -> None:
    portal = with_file()
    portal.inject(faults.break_off(1000), on="download")
    async with connected(portal) as b24:

        async def close(_: int, __: int | None) -> None:
            await b24.aclose()

        with pytest.raises(ClientStateError):
            await b24.download(1, tmp_path / "out.bin", on_progress=close)
    assert names(tmp_path) == []


# --- on real sockets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["auto", "httpx"])
@pytest.mark.parametrize("anyio_backend", [("asyncio", {})], ids=["real time"])
async def test_files_are_streamed_resumed_and_ended_on_a_socket(
    tmp_path: Path, transport: Any, anyio_backend: Any
) -> None:
    portal = FakePortal()
    portal.files.add("report.pdf", CONTENT)
    params = attrs.evolve(UNLIMITED, retry_delay=0.1)
    async with portal.serve():
        options: dict[str, Any] = {"trusted_oauth_hosts": portal.trusted_oauth_hosts, "transport": transport}
        async with B24OAuth(portal.issue(), portal.secret, restriction_params=params, **options) as b24:
            portal.inject(faults.break_off(1_000_000), on="download")
            sizes: list[int] = []
            await b24.download(1, tmp_path / "out.bin", on_progress=lambda done, _: sizes.append(done))
            assert (tmp_path / "out.bin").read_bytes() == CONTENT
            assert len(sizes) > 10  # as it comes, not at once
            assert max(after - before for before, after in zip([0, *sizes], sizes, strict=False)) <= 1_000_000
            portal.inject(faults.break_off(100_000, stall=True), on="download")
            told = asyncio.Event()
            reading = asyncio.create_task(b24.download(1, tmp_path / "b.bin", on_progress=lambda *_: told.set()))
            await told.wait()
            await b24.aclose()
            with pytest.raises(ClientStateError):
                await reading
    assert names(tmp_path) == ["out.bin"]


# --- T12 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
async def test_t12_addresses_with_tokens_are_not_logged(caplog: pytest.LogCaptureFixture, level: int) -> None:
    portal = with_file(storage_origin=STORAGE)
    portal.inject(faults.break_off(10), on="download")
    caplog.set_level(level)
    async with connected(portal) as b24:
        token = b24.auth.get_params().access_token
        await b24.download(1, io.BytesIO())
        logged = caplog.text
        await b24.actions.v2.call.make("profile")
    assert token not in logged
    assert "X-Amz-Signature" not in logged
    assert "download.json" not in logged
    # What else is sent with the same library is logged as before.
    assert ("HTTP Request: POST https://portal.example/rest/profile" in caplog.text) is (level <= logging.INFO)


REPEATED = "c4n4ryaccesshead and c4n4rypasswordhead"


@pytest.mark.parametrize(
    "fault",
    [
        answered({"error": "X", "error_description": REPEATED}, 400),
        answered({"error": "X", "error_description": REPEATED}, content_type="application/json"),
        answered(REPEATED.encode(), 500),
        redirect(302, f"https://evil.example/{REPEATED}"),
        faults.drop_after(),
    ],
)
async def test_t12_no_error_of_a_download_repeats_a_token(fault: faults.Fault) -> None:
    portal = with_file()
    portal.inject(fault, on="download", times=None)
    pair = attrs.evolve(portal.issue(), access_token="c4n4ryaccesshead")
    with clean_logs():
        async with connected(portal, pair) as b24:
            url = f"/rest/download.json?auth={pair.access_token}&token=c4n4rypasswordhead"
            with pytest.raises((AjaxError, UntrustedHostError)) as caught:
                await b24.download(url, io.BytesIO())
    assert_error_is_clean(caught.value)


async def test_a_file_that_comes_on_is_not_given_up_however_often_the_connection_breaks() -> None:
    portal = with_file()
    portal.inject(faults.break_off(200_000), on="download", times=12)
    async with connected(portal) as b24:
        sink = io.BytesIO()
        assert (await b24.download(1, sink)).size == len(CONTENT)
    assert sink.getvalue() == CONTENT


async def test_a_file_that_hardly_comes_on_is_given_up() -> None:
    portal = with_file()
    portal.inject(faults.break_off(1000), on="download", times=None)
    async with connected(portal) as b24:
        with pytest.raises(NetworkError):
            await b24.download(1, io.BytesIO())
    assert portal.calls["disk.file.get"] == 1
