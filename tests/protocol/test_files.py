"""Files in parameters: in the form that each method takes, in calls and in batches, and read from disk."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from b24oauth import File, InvalidParamsError
from b24oauth.files import read_file
from b24oauth.protocol.encoding import encode_json, to_json, write_query
from b24oauth.testing import FakePortal
from tests.support.clients import connected, fake_portal
from tests.support.php import parse_str

CONTENT = bytes(range(256)) * 5
TEXT = base64.b64encode(CONTENT).decode()
FILE = File.from_bytes("a.bin", CONTENT)
PAIR = ["a.bin", TEXT]
FILE_DATA = {"fileData": PAIR}
VALUE = {"value": FILE_DATA}

# Every form that the documentation shows, by method and field.
# Source: https://apidocs.bitrix24.com/api-reference/files/how-to-upload-files.html
WRITTEN: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    *(
        (
            f"crm.{kind}.{action}",
            {"fields": {"UF_CRM_1": FILE, "UF_CRM_2": [FILE, {"id": 7}]}},
            {"fields": {"UF_CRM_1": FILE_DATA, "UF_CRM_2": [FILE_DATA, {"id": 7}]}},
        )
        for kind in ("lead", "deal", "contact", "company", "quote")
        for action in ("add", "update")
    ),
    ("crm.contact.add", {"FIELDS": {"PHOTO": FILE}}, {"FIELDS": {"PHOTO": FILE_DATA}}),
    ("crm.company.add", {"fields": {"LOGO": FILE}}, {"fields": {"LOGO": FILE_DATA}}),
    ("CRM.Deal.Add", {"fields": {"UF_CRM_1": FILE}}, {"fields": {"UF_CRM_1": FILE_DATA}}),
    ("crm.activity.add", {"fields": {"FILES": [FILE]}}, {"fields": {"FILES": [FILE_DATA]}}),
    ("crm.activity.type.add", {"fields": {"ICON_FILE": FILE}}, {"fields": {"ICON_FILE": FILE_DATA}}),
    (
        "crm.product.update",
        {"fields": {"PROPERTY_1": [{"valueId": 0, "fileData": FILE}]}},
        {"fields": {"PROPERTY_1": [{"valueId": 0, "fileData": PAIR}]}},
    ),
    *(
        (
            method,
            {
                "fields": {
                    "detailPicture": FILE,
                    "property107": FILE,
                    "PROPERTY_8": [FILE, {"value": FILE, "valueId": "3"}],
                }
            },
            {
                "fields": {
                    "detailPicture": FILE_DATA,
                    "property107": VALUE,
                    "PROPERTY_8": [VALUE, {"value": FILE_DATA, "valueId": "3"}],
                }
            },
        )
        for method in (
            "catalog.product.add",
            "catalog.product.update",
            "catalog.product.sku.add",
            "catalog.product.offer.update",
            "catalog.product.service.add",
        )
    ),
    ("catalog.store.add", {"fields": {"imageId": FILE}}, {"fields": {"imageId": FILE_DATA}}),
    ("lists.add", {"FIELDS": {"PICTURE": FILE}}, {"FIELDS": {"PICTURE": FILE_DATA}}),
    ("lists.section.update", {"FIELDS": {"DETAIL_PICTURE": FILE}}, {"FIELDS": {"DETAIL_PICTURE": FILE_DATA}}),
    (
        "sale.propertyvalue.modify",
        {"fields": {"order": {"propertyValues": [{"value": FILE}]}}},
        {"fields": {"order": {"propertyValues": [{"value": FILE_DATA}]}}},
    ),
    ("sale.property.add", {"fields": {"defaultValue": [FILE]}}, {"fields": {"defaultValue": [FILE_DATA]}}),
    *(
        (
            f"crm.item.{action}",
            {"fields": {"ufCrm_1": FILE, "ufCrm_2": [{"id": 7}, FILE]}},
            {"fields": {"ufCrm_1": PAIR, "ufCrm_2": [{"id": 7}, PAIR]}},
        )
        for action in ("add", "update", "import")
    ),
    ("crm.timeline.comment.add", {"fields": {"FILES": [FILE]}}, {"fields": {"FILES": [PAIR]}}),
    ("crm.timeline.comment.update", {"fields": {"FILES": FILE}}, {"fields": {"FILES": [PAIR]}}),
    ("log.blogpost.add", {"FILES": FILE}, {"FILES": [PAIR]}),
    ("log.blogcomment.add", {"FILES": (FILE, FILE)}, {"FILES": [PAIR, PAIR]}),
    *(
        (method, {"id": 1, "fileContent": FILE}, {"id": 1, "fileContent": PAIR})
        for method in (
            "disk.folder.uploadFile",
            "disk.storage.uploadFile",
            "disk.file.uploadVersion",
            "catalog.productImage.add",
        )
    ),
    ("disk.folder.uploadfile", {"fileContent": ["b.bin", FILE]}, {"fileContent": ["b.bin", TEXT]}),
    ("user.update", {"PERSONAL_PHOTO": FILE}, {"PERSONAL_PHOTO": PAIR}),
    ("lists.element.add", {"FIELDS": {"PROPERTY_107": FILE}}, {"FIELDS": {"PROPERTY_107": PAIR}}),
    ("entity.item.add", {"PREVIEW_PICTURE": FILE}, {"PREVIEW_PICTURE": PAIR}),
    ("bizproc.workflow.template.add", {"TEMPLATE_DATA": FILE}, {"TEMPLATE_DATA": PAIR}),
    ("landing.block.uploadfile", {"picture": FILE}, {"picture": PAIR}),
    ("my.method", {"any": {"where": FILE}}, {"any": {"where": PAIR}}),
    ("", {"any": FILE}, {"any": PAIR}),
    ("crm.documentgenerator.template.add", {"fields": {"file": FILE}}, {"fields": {"file": TEXT}}),
    ("documentgenerator.template.update", {"fields": {"file": FILE}}, {"fields": {"file": TEXT}}),
    ("crm.documentgenerator.document.upload", {"fields": {"pdfContent": FILE}}, {"fields": {"pdfContent": TEXT}}),
    (
        "im.v2.File.upload",
        {"fields": {"name": "a.bin", "content": FILE}},
        {"fields": {"name": "a.bin", "content": TEXT}},
    ),
    (
        "imbot.v2.Bot.register",
        {"fields": {"properties": {"avatar": FILE}}},
        {"fields": {"properties": {"avatar": TEXT}}},
    ),
    ("imbot.register", {"PROPERTIES": {"PERSONAL_PHOTO": FILE}}, {"PROPERTIES": {"PERSONAL_PHOTO": TEXT}}),
    ("im.chat.updateAvatar", {"AVATAR": FILE}, {"AVATAR": TEXT}),
    ("crm.timeline.logo.add", {"fileContent": FILE}, {"fileContent": TEXT}),
    ("note.file.add", {"fileName": "a.bin", "fileContent": FILE}, {"fileName": "a.bin", "fileContent": TEXT}),
    (
        "sign.b2e.document.send",
        {"fields": {"files": [{"fileContent": FILE}]}},
        {"fields": {"files": [{"fileContent": TEXT}]}},
    ),
    ("telephony.externalCall.attachRecord", {"FILE_CONTENT": FILE}, {"FILE_CONTENT": TEXT}),
    ("task.item.addfile", {"TASK_ID": 1, "FILE": {"CONTENT": FILE}}, {"TASK_ID": 1, "FILE": {"CONTENT": TEXT}}),
    # Inside of `fileData` nothing is wrapped once more, whatever the method.
    *(
        (method, {"fields": {"X": {"fileData": FILE}}}, {"fields": {"X": FILE_DATA}})
        for method in ("crm.deal.add", "crm.item.add", "my.method", "im.chat.add")
    ),
    (
        "crm.deal.add",
        {"fields": {"X": {"fileData": ["b.bin", FILE]}}},
        {"fields": {"X": {"fileData": ["b.bin", TEXT]}}},
    ),
    # A form of the caller's own choice is left alone.
    ("crm.deal.add", {"fields": {"X": FILE.as_pair()}}, {"fields": {"X": PAIR}}),
    ("crm.item.add", {"fields": {"x": FILE.as_file_data()}}, {"fields": {"x": FILE_DATA}}),
    ("crm.item.add", {"fields": {"x": FILE.as_base64()}}, {"fields": {"x": TEXT}}),
]


def php(value: Any) -> Any:
    """Plain values as PHP holds them."""
    if isinstance(value, list):
        return {index: php(item) for index, item in enumerate(value)}
    return {name: php(item) for name, item in value.items()} if isinstance(value, dict) else str(value)


@pytest.mark.parametrize(("method", "params", "written"), WRITTEN)
def test_a_file_is_written_in_the_form_that_the_method_takes(
    method: str, params: dict[str, Any], written: dict[str, Any]
) -> None:
    assert json.loads(encode_json(params, method)) == written
    assert parse_str(write_query(to_json(params, method))) == php(written)


def test_a_file_has_explicit_forms() -> None:
    assert (FILE.as_pair(), FILE.as_file_data(), FILE.as_base64()) == (PAIR, FILE_DATA, TEXT)
    assert FILE.to_pair() == FILE.as_pair()
    assert (FILE.name, FILE.content, FILE.encoded) == ("a.bin", CONTENT, TEXT)
    assert File("a.bin", TEXT) == File("a.bin", bytearray(CONTENT)) == FILE
    assert len({FILE, File.from_bytes("a.bin", CONTENT)}) == 1


def test_the_content_is_not_shown() -> None:
    assert repr(FILE) == "File(name='a.bin', content=<1280 bytes>)"


@pytest.mark.parametrize("name", ["", "a/b.txt", "..\\b.txt", None, 5])
def test_a_name_with_directories_is_refused(name: Any) -> None:
    with pytest.raises(InvalidParamsError, match="plain file name"):
        File.from_bytes(name, b"")


@pytest.mark.parametrize("content", ["no base64", "YQ", 5, None, ["a"]])
def test_content_that_is_neither_bytes_nor_base64_is_refused(content: Any) -> None:
    with pytest.raises(InvalidParamsError, match="content must be bytes") as caught:
        File("a.bin", content)
    assert caught.value.__context__ is None


@pytest.mark.anyio
@pytest.mark.parametrize("size", [0, 1, 2, 3, 3 * 64 * 1024, 3 * 64 * 1024 + 1, 1_000_000])
async def test_a_file_is_read_whole_whatever_its_size(tmp_path: Path, size: int) -> None:
    content = random.Random(size).randbytes(size)
    (tmp_path / "some.bin").write_bytes(content)
    file = await read_file(tmp_path / "some.bin")
    assert file == File.from_bytes("some.bin", content)


# A program of its own, whose memory nothing else uses. A tracer, as coverage has one, must make no difference.
MEASURED = """
import sys, threading, tracemalloc
import anyio
from b24oauth.files import read_file
if sys.argv[2] == "traced":
    threading.settrace(lambda *_: lambda *_: None)
tracemalloc.start()
file = anyio.run(read_file, sys.argv[1])
peak = tracemalloc.get_traced_memory()[1]
print(peak / len(file.encoded))
"""


@pytest.mark.parametrize("mode", ["plain", "traced"])
def test_a_file_is_read_without_holding_its_bytes_twice(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "big.bin"
    path.write_bytes(bytes(20_000_000))
    command = [sys.executable, "-c", MEASURED, str(path), mode]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1


async def until(holds: Callable[[], bool]) -> None:
    """Lets other threads run until something holds, in real time."""
    for _ in range(500):
        if holds():
            return
        await asyncio.to_thread(threading.Event().wait, 0.01)
    raise AssertionError("it does not hold after five seconds")


def opened(path: Path) -> bool:
    """Whether this process holds the file open."""
    links = Path("/proc/self/fd")
    return path in {link.readlink() for link in links.iterdir() if link.exists()}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at open files as Linux shows them")
def test_a_cancelled_reading_leaves_no_thread_waiting_and_closes_the_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    async def main() -> None:
        reading = asyncio.create_task(read_file(pipe))
        await until(lambda: opened(pipe))
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await until(lambda: not opened(pipe))

    before = set(threading.enumerate())
    asyncio.run(main())
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=5)
        assert not thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.bin"
    os.mkfifo(pipe)

    def write() -> None:
        with pipe.open("wb", buffering=0) as file:
            file.write(b"first ")
            threading.Event().wait(0.1)
            file.write(b"second")

    async def main() -> File:
        read, _ = await asyncio.gather(read_file(pipe), asyncio.to_thread(write))
        return read

    assert asyncio.run(main()) == File.from_bytes("pipe.bin", b"first second")


@pytest.mark.anyio
async def test_a_file_that_is_not_there_is_told_as_python_does(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await read_file(tmp_path / "none")


# --- what a portal stores ---------------------------------------------------------------------------------------------


async def stored(portal: FakePortal, method: str, fields: dict[str, Any], *, batch: bool) -> dict[str, Any]:
    """The row after `fields` were written to it."""
    async with connected(portal) as b24:
        v2, params = b24.actions.v2, {"id": 1, "entityTypeId": 2, "fields": fields}
        if batch:
            await v2.batch.make([(method, params)])
        else:
            await v2.call.make(method, params)
        row = (await v2.call.make(method.rpartition(".")[0] + ".get", {"id": 1, "entityTypeId": 2})).result
    return row.get("item", row)


def contents(portal: FakePortal, shown: Any) -> Any:
    if isinstance(shown, list):
        return [contents(portal, one) for one in shown] or None
    file = portal.files.get(shown["id"]) if shown else None
    return None if file is None else (file.name, file.content)


@pytest.mark.anyio
@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize(
    ("method", "single", "multiple", "right", "wrong"),
    [
        ("crm.deal.update", "UF_CRM_FILE", "UF_CRM_FILES", "as_file_data", "as_pair"),
        ("crm.contact.update", "PHOTO", "UF_CRM_FILES", "as_file_data", "as_pair"),
        ("crm.item.update", "ufCrmFile", "ufCrmFiles", "as_pair", "as_file_data"),
    ],
)
async def test_a_portal_stores_a_file_in_the_right_form_only(
    method: str, single: str, multiple: str, right: str, wrong: str, batch: bool
) -> None:
    for file, content in [
        (FILE, ("a.bin", CONTENT)),
        (getattr(FILE, right)(), ("a.bin", CONTENT)),
        (getattr(FILE, wrong)(), None),
    ]:
        portal = fake_portal()
        row = await stored(portal, method, {single: file, multiple: [file, file]}, batch=batch)
        assert contents(portal, row[single]) == content
        assert contents(portal, row[multiple]) == ([content] * 2 if content else None)


@pytest.mark.anyio
@pytest.mark.parametrize(("method", "field"), [("crm.deal.update", "UF_CRM_FILES"), ("crm.item.update", "ufCrmFiles")])
async def test_an_old_file_of_a_multiple_field_is_kept_by_its_identifier(method: str, field: str) -> None:
    portal = fake_portal()
    first = File.from_bytes("first.txt", b"1"), File.from_bytes("second.txt", b"2")
    row = await stored(portal, method, {field: list(first)}, batch=False)
    third = File.from_bytes("third.txt", b"3")
    row = await stored(portal, method, {field: [{"id": row[field][1]["id"]}, third]}, batch=False)
    assert contents(portal, row[field]) == [("second.txt", b"2"), ("third.txt", b"3")]


@pytest.mark.anyio
async def test_a_portal_receives_files_of_other_methods_too(tmp_path: Path) -> None:
    portal = fake_portal()
    path = tmp_path / "a.bin"
    path.write_bytes(CONTENT)
    async with connected(portal) as b24:
        v2 = b24.actions.v2
        file = await read_file(path, name="b.bin")
        uploaded = (await v2.call.make("disk.folder.uploadfile", {"id": 1, "fileContent": file})).result
        await v2.call.make("disk.file.uploadVersion", {"id": uploaded["ID"], "fileContent": FILE})
        comment = (await v2.call.make("crm.timeline.comment.add", {"fields": {"FILES": [file, file]}})).result
        shown = (await v2.call.make("crm.timeline.comment.get", {"id": comment})).result
        fields = {"previewPicture": file, "property5": file, "property6": [file, {"value": file}]}
        product = (await v2.call.make("catalog.product.add", {"fields": fields})).result["element"]
    assert contents(portal, {"id": uploaded["ID"]}) == ("b.bin", CONTENT)
    assert [one["name"] for one in shown["FILES"].values()] == ["b.bin", "b.bin"]
    pictures = [
        product["previewPicture"],
        *(one["value"] for name in ("property5", "property6") for one in product[name]),
    ]
    assert contents(portal, pictures) == [("b.bin", CONTENT)] * 4
