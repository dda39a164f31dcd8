"""Methods of the user's own: async or plain, alone and in batches, and what is seen when one of them raises."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest

from b24oauth import AjaxError
from b24oauth.errors import RequestTimeoutError
from b24oauth.testing import FakePortal, Reply, RestError
from tests.support.clients import connected, fake_portal

pytestmark = pytest.mark.anyio


async def waiting(params: dict[str, Any]) -> Any:
    await asyncio.sleep(2)
    return params["x"]


class Callable:
    async def __call__(self, params: dict[str, Any]) -> Any:
        return params["x"]


@pytest.mark.parametrize("handler", [waiting, Callable(), functools.partial(waiting), lambda params: params["x"]])
async def test_a_handler_may_be_async_or_plain_alone_and_in_batches(handler: Any) -> None:
    portal = fake_portal()
    portal.method("my.method", handler)
    async with connected(portal) as b24:
        assert await b24.call("my.method", {"x": 5}) == 5
        assert await b24.v3.call("my.method", {"x": 6}) == 6
        assert await b24.batch([("my.method", {"x": 7}), ("my.method", {"x": 8})]) == ["7", "8"]
        assert await b24.v3.batch([("my.method", {"x": 9})]) == [9]
    assert portal.executed["my.method"] == 5


async def test_an_async_handler_may_give_a_reply_and_refuse() -> None:
    portal = fake_portal()

    async def total(_: dict[str, Any]) -> Reply:
        return Reply(result=[1], total=1)

    async def refuse(_: dict[str, Any]) -> Any:
        raise RestError("MY_CODE", "not today", status=403)

    portal.method("my.list", total)
    portal.method("my.refuse", refuse)
    async with connected(portal) as b24:
        assert (await b24.actions.v2.call.make("my.list")).get_total() == 1
        with pytest.raises(AjaxError, match="not today"):
            await b24.call("my.refuse")


async def test_a_client_that_gives_up_does_not_stop_an_async_handler() -> None:
    portal, done = fake_portal(), []

    async def slow(_: dict[str, Any]) -> None:
        await asyncio.sleep(5)
        done.append(1)

    portal.method("my.write", slow)
    async with connected(portal) as b24:
        with pytest.raises(RequestTimeoutError):
            await b24.call("my.write", timeout=1, idempotent=True)
        await asyncio.sleep(10)
    assert done == [1]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("version", ["v2", "v3"])
async def test_a_handler_that_raises_shows_its_traceback_and_is_a_500(
    is_async: bool, version: str, capsys: pytest.CaptureFixture[str]
) -> None:
    portal = fake_portal()

    def plain(_: dict[str, Any]) -> Any:
        raise KeyError("my mistake")

    async def later(params: dict[str, Any]) -> Any:
        return plain(params)

    portal.method("my.method", later if is_async else plain)
    async with connected(portal) as b24:
        api = b24 if version == "v2" else b24.v3
        with pytest.raises(AjaxError) as caught:
            await api.call("my.method", max_attempts=1)
    shown = capsys.readouterr().err
    assert caught.value.status == 500
    assert "KeyError: 'my mistake'" in shown
    assert "in plain" in shown
    assert "my.method" in shown


@pytest.mark.parametrize(("name", "handler"), [("", print), (5, print), ("my.method", 5), ("my.method", None)])
def test_a_wrong_method_is_refused_by_name(name: Any, handler: Any) -> None:
    with pytest.raises(TypeError, match="method"):
        FakePortal().method(name, handler)
