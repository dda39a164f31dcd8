"""Files in parameters: their pair of name and base64, in calls and in batches."""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys
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
@pytest.mark.parametrize("size", [0, 1, 2, 3, 3 * 64 * 1024, 3 * 64 * 1024 + 1, 1_000_000])
async def test_a_file_is_read_whole_whatever_its_size(tmp_path: Path, size: int) -> None:
    content = random.Random(size).randbytes(size)
    (tmp_path / "some.bin").write_bytes(content)
    file = await read_file(tmp_path / "some.bin")
    assert file == File.from_bytes("some.bin", content)


# A program of its own, because tracing a program for coverage changes how it uses memory.
MEASURED = """
import sys, tracemalloc
import anyio
from b24oauth import read_file
tracemalloc.start()
file = anyio.run(read_file, sys.argv[1])
print(tracemalloc.get_traced_memory()[1] / len(file.encoded))
"""


def test_a_file_is_read_without_holding_its_bytes_beside_their_base64(tmp_path: Path) -> None:
    path = tmp_path / "big.bin"
    path.write_bytes(bytes(20_000_000))
    done = subprocess.run([sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.5


@pytest.mark.anyio
async def test_a_portal_receives_the_file_in_a_call_and_in_a_batch(tmp_path: Path) -> None:
    received: list[Any] = []
    portal = fake_portal()
    for method in ("disk.folder.uploadfile", "my.upload"):
        portal.method(method, lambda params: received.append(params["fileContent"]) or 1)
    path = tmp_path / "a.bin"
    path.write_bytes(CONTENT)
    async with connected(portal) as b24:
        params = {"id": 1, "fileContent": await read_file(path, name="b.bin")}
        await b24.actions.v2.call.make("disk.folder.uploadfile", params)
        await b24.actions.v2.batch.make([("my.upload", params)])  # a batch takes no disk uploads
    pair = ["b.bin", base64.b64encode(CONTENT).decode()]
    assert received[0] == pair
    assert list(received[1].values() if isinstance(received[1], dict) else received[1]) == pair
