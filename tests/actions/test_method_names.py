"""The name of a method is checked before anything is sent, whatever sends it."""

from __future__ import annotations

from typing import Any

import pytest

from b24oauth import AjaxError, ApiVersion, B24OAuth
from b24oauth.errors import InvalidCallParamsError
from tests.support.clients import connected, fake_portal
from tests.support.lists import pages_of

pytestmark = pytest.mark.anyio

NAMES = ["crm.deal.get?auth=1", "..", ".", "a/b", "a..b", "", "crm.deal.list.json", None, 5, ["x"], b"x"]
COLUMNS = {"count": ["id"]}


async def ways(b24: B24OAuth, way: str, name: Any) -> Any:
    v2, v3 = b24.actions.v2, b24.actions.v3
    match way:
        case "call":
            return await v2.call.make(name, {"id": 1})
        case "call v3":
            return await v3.call.make(name, {"id": 1})
        case "call typed":
            return await v2.call.make(name, {"id": 1}, result_type=dict[str, Any])
        case "batch":
            return await v2.batch.make({"a": ("profile",), "b": (name, {"id": 1})})
        case "batch as mapping":
            return await v2.batch.make([{"method": name, "params": {}}], is_halt_on_error=False)
        case "batch v3":
            return await v3.batch.make([(name,)])
        case "chunk":
            return await v2.batch_by_chunk.make([("profile",)] * 60 + [(name,)], is_halt_on_error=False)
        case "chunk v3":
            return await v3.batch_by_chunk.make([(name,)])
        case "list":
            return await v2.call_list.make(name)
        case "list by offset":
            return await v2.call_list.make(name, paging="offset")
        case "pages":
            return await pages_of(v2.fetch_list.make(name))
        case "list v3":
            return await v3.call_list.make(name)
        case "pages v3":
            return await pages_of(v3.fetch_list.make(name))
        case "tail":
            return await v3.call_tail.make(name)
        case "tail pages":
            return await pages_of(v3.fetch_tail.make(name))
        case "aggregate":
            return await v3.aggregate.make(name, select=COLUMNS)
        case _:
            return await b24.get_http_client(ApiVersion.V2).call(name)


WAYS = [
    "call",
    "call v3",
    "call typed",
    "batch",
    "batch as mapping",
    "batch v3",
    "chunk",
    "chunk v3",
    "list",
    "list by offset",
    "pages",
    "list v3",
    "pages v3",
    "tail",
    "tail pages",
    "aggregate",
    "http client",
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
async def test_what_is_not_the_name_of_a_method_is_never_sent(way: str, name: Any) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        with pytest.raises(InvalidCallParamsError, match="method: "):
            await ways(b24, way, name)
    assert not portal.requests


async def test_the_command_with_the_bad_name_is_named() -> None:
    async with connected(fake_portal()) as b24:
        with pytest.raises(AjaxError, match="Command b: method: "):
            await b24.actions.v2.batch.make({"a": ("profile",), "b": ("crm.deal.get?id=1",)})
