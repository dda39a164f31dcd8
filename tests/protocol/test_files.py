"""Files in parameters: their pair of name and base64, in calls and in batches."""

from __future__ import annotations

import base64
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from b24oauth import File, InvalidParamsError, read_file
from b24oauth.protocol.encoding import encode_json, encode_query
from tests.support.clients import connected, fake_portal
from tests.support.php import parse_str

CONTENT = bytes(range(256)) * 5


def test_a_file_becomes_its_name_and_its_content_wherever_it_stands() -> None:
    file = File.from_bytes("a.bin", CONTENT)
    pair = ["a.bin", base64.b64encode(CONTENT).decode()]
    assert json.loads(encode_json({"fields": {"FILES": [file, file]}})) == {"fields": {"FILES": [pair, pair]}}
    read = parse_str(encode_query({"fileData": file}))
    assert list(read["fileData"].values()) == pair


def test_the_content_is_not_shown() -> None:
    shown = repr(File.from_bytes("a.bin", CONTENT))
    assert base64.b64encode(CONTENT).decode()[:20] not in shown
    assert "a.bin" in shown


@pytest.mark.parametrize("name", ["", "a/b.txt", "..\\b.txt"])
def test_a_name_with_directories_is_refused(name: str) -> None:
    with pytest.raises(InvalidParamsError, match="plain file name"):
        File.from_bytes(name, b"")


@pytest.mark.anyio
async def test_a_file_is_read_without_holding_its_bytes_beside_their_base64(tmp_path: Path) -> None:
    path = tmp_path / "big.bin"
    path.write_bytes(CONTENT * 8192)
    size = path.stat().st_size / 3 * 4
    tracemalloc.start()
    try:
        file = await read_file(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert base64.b64decode(file.encoded) == path.read_bytes()
    assert file.name == "big.bin"
    assert peak < 2.2 * size


@pytest.mark.anyio
async def test_a_portal_receives_the_file_in_a_call_and_in_a_batch(tmp_path: Path) -> None:
    received: list[Any] = []
    portal = fake_portal()
    portal.method("my.upload", lambda params: received.append(params["fileContent"]) or 1)
    path = tmp_path / "a.bin"
    path.write_bytes(CONTENT)
    async with connected(portal) as b24:
        params = {"id": 1, "fileContent": await read_file(path, name="b.bin")}
        await b24.actions.v2.call.make("my.upload", params)
        await b24.actions.v2.batch.make([("my.upload", params)])
    pair = ["b.bin", base64.b64encode(CONTENT).decode()]
    assert received[0] == pair
    assert list(received[1].values() if isinstance(received[1], dict) else received[1]) == pair
