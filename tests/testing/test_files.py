"""How the fake portal serves files: with the same obstacles as a real one."""

from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

from b24oauth.testing import FakePortal, VirtualClock
from tests.testing.calls import Caller, error

pytestmark = pytest.mark.anyio

HEADERS = {
    "User-Agent": "test/1.0",
    "Accept": "*/*",
    "Accept-Language": "en",
    "Referer": "https://portal.example/",
}


async def address(caller, portal, content=b"0123456789"):
    file_id = portal.files.add("Отчёт.txt", content)
    return (await caller.result("disk.file.get", {"id": file_id}))["DOWNLOAD_URL"]


async def test_a_file_is_served_whole_and_in_parts(caller, portal):
    url = await address(caller, portal)
    whole = await caller.http.get(url, headers=HEADERS)
    assert (whole.status_code, whole.content, whole.headers["content-type"]) == (200, b"0123456789", "text/plain")
    assert "filename*=utf-8''%D0%9E" in whole.headers["content-disposition"]
    part = await caller.http.get(url, headers=HEADERS | {"Range": "bytes=4-", "If-Range": whole.headers["etag"]})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"456789", "bytes 4-9/10")
    middle = await caller.http.get(url, headers=HEADERS | {"Range": "bytes=4-5"})
    assert (middle.status_code, middle.content) == (206, b"45")
    behind = await caller.http.get(url, headers=HEADERS | {"Range": "bytes=10-"})
    assert (behind.status_code, behind.headers["content-range"]) == (416, "bytes */10")
    other = await caller.http.get(url, headers=HEADERS | {"Range": "bytes=4-", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, b"0123456789")


@pytest.mark.parametrize("missing", ["User-Agent", "Accept-Language", "Referer"])
async def test_a_download_needs_the_headers_of_a_client(caller, portal, missing):
    url = await address(caller, portal)
    headers = {name: value for name, value in HEADERS.items() if name != missing}
    answer = await caller.http.get(url, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=UTF-8")


async def test_a_signed_address_cannot_be_changed(caller, portal):
    url = await address(caller, portal)
    parts, query = urlsplit(url), dict(parse_qsl(urlsplit(url).query))
    other = portal.issue().access_token

    async def asked(changed, **headers):
        return error(
            await caller.http.get(
                f"{parts.scheme}://{parts.netloc}{parts.path}?{urlencode(changed)}", headers=HEADERS | headers
            )
        )

    assert await asked(query | {"auth": other}) == (403, "ACCESS_DENIED")
    assert await asked({"token": query["token"]}, Authorization=f"Bearer {other}") == (403, "ACCESS_DENIED")
    assert await asked(query | {"token": "disk|x"}) == (403, "ACCESS_DENIED")
    assert await asked(query | {"auth": "x"}) == (401, "invalid_token")
    assert await asked({"token": query["token"]}) == (401, "NO_AUTH_FOUND")
    portal.expire_tokens()
    assert await asked(query) == (401, "expired_token")


async def test_downloads_use_the_bucket():
    portal = FakePortal(clock=VirtualClock(), burst=2, drain=1)
    async with Caller(portal) as caller:
        url = await address(caller, portal)
        answers = [await caller.http.get(url, headers=HEADERS) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 503]
    assert portal.requests[-1].method == "download"
    assert "auth" not in str(portal.requests[-1].token)


async def test_a_storage_takes_no_token():
    portal = FakePortal(clock=VirtualClock(), storage_origin="https://storage.example", one_use_downloads=True)
    async with Caller(portal) as caller:
        url = await address(caller, portal)
        moved = await caller.http.get(url, headers=HEADERS)
        location = moved.headers["location"]
        assert (moved.status_code, httpx.URL(location).host) == (302, "storage.example")
        assert (await caller.http.get(location)).content == b"0123456789"
        assert (await caller.http.get(location, headers={"Authorization": "Bearer x"})).status_code == 400
        assert (await caller.http.get("https://storage.example/none")).status_code == 403
        assert error(await caller.http.get(url, headers=HEADERS)) == (403, "ACCESS_DENIED")


async def test_an_address_for_browsers_answers_a_login_page(caller, portal):
    portal.files.add("a.txt", b"x")
    await caller.result("crm.item.update", {"id": 1, "fields": {"ufCrmFile": ["a.txt", "eA=="]}})
    item = (await caller.result("crm.item.get", {"id": 1}))["item"]["ufCrmFile"]
    page = await caller.http.get(item["url"], headers=HEADERS)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=UTF-8")
    assert (await caller.http.get(item["urlMachine"], headers=HEADERS)).content == b"x"


@pytest.mark.parametrize("content", [None, "eA==", ["a.txt"], ["a.txt", "no base64!"], {"fileData": ["a.txt", "eA=="]}])
async def test_the_drive_refuses_what_is_no_pair(caller, portal, content):
    answer = await caller.v2("disk.folder.uploadfile", {"id": 1, "fileContent": content})
    assert error(answer) == (400, "ERROR_ARGUMENT")
    assert portal.files.get(1) is None


@pytest.mark.parametrize(
    ("method", "value", "held"),
    [
        ("crm.deal", {"fileData": ["a.txt", "eA=="]}, True),
        ("crm.deal", {"fileData": "eA=="}, True),
        ("crm.deal", ["a.txt", "eA=="], False),
        ("crm.deal", "eA==", False),
        ("crm.item", ["a.txt", "eA=="], True),
        ("crm.item", {"fileData": ["a.txt", "eA=="]}, False),
    ],
)
async def test_a_file_field_stays_empty_for_any_other_form(caller, method, value, held):
    field = "UF_CRM_FILE" if method == "crm.deal" else "ufCrmFile"
    await caller.result(f"{method}.update", {"id": 1, "fields": {field: value}})
    row = await caller.result(f"{method}.get", {"id": 1})
    assert isinstance(row.get("item", row)[field], dict) is held


async def test_a_file_can_be_removed_and_other_fields_are_left_alone(caller):
    for value in ({"fileData": ["a.txt", "eA=="]}, {"remove": "Y"}):
        await caller.result("crm.deal.update", {"id": 1, "fields": {"UF_CRM_FILE": value, "TITLE": "x"}})
    row = await caller.result("crm.deal.get", {"id": 1})
    assert (row["UF_CRM_FILE"], row["UF_CRM_FILES"], row["TITLE"]) == (False, [], "x")
