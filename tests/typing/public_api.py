"""Never run: what mypy and pyright must see of the public names."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from io import BytesIO
from pathlib import Path
from typing import Any, TypedDict, assert_type

import attrs

from b24oauth import (
    AjaxResult,
    AuthData,
    B24OAuth,
    B24OAuthParams,
    BatchRefV2,
    BatchRefV3,
    Download,
    File,
    HandlerRefreshAuth,
    PayloadTime,
    RefreshedAuth,
    Result,
    SuccessPayload,
)


async def calls(b24: B24OAuth) -> None:
    response = await b24.actions.v2.call.make("crm.deal.get", {"id": 1}, timeout=5, idempotent=True)
    assert_type(response, AjaxResult[Any])
    assert_type(response.get_data(), SuccessPayload[Any] | None)
    assert_type(response.is_success, bool)
    data = response.get_data()
    if data is not None:
        assert_type(data.time, PayloadTime | None)
    assert_type(await b24.actions.v3.batch.make([("profile",)]), Result[Any])
    assert_type(await b24.actions.v2.call_list.make("crm.deal.list"), Result[list[Any]])
    assert_type(b24.actions.v2.fetch_list.make("crm.deal.list"), AsyncGenerator[list[Any], None])
    assert_type(await b24.tools.ping.make(), float)
    assert_type(b24.auth.get_auth_data(), AuthData | None)
    assert_type(await b24.auth.get_access_token(), str)


async def files_and_references(b24: B24OAuth) -> None:
    assert_type(await b24.download(1, "report.pdf", timeout=60), Download)
    assert_type(await b24.download("https://portal.example/x", to=BytesIO(), max_bytes=None), Download)
    assert_type((await b24.download(1, Path("a"), on_progress=lambda done, total: (done, total))).name, str | None)
    reference = BatchRefV2.ref("deal", "ID")
    assert_type(BatchRefV2.format("Copy of {}", reference), BatchRefV2)
    assert_type(BatchRefV3.ref("task.item.id"), BatchRefV3)
    await b24.actions.v2.batch.make([("crm.deal.get", {"id": reference})], allow_text_references=True)
    file = File.from_bytes("a.txt", b"a")
    assert_type(file.as_pair(), list[str])
    assert_type(file.as_file_data(), dict[str, list[str]])
    assert_type(file.as_base64(), str)


@attrs.frozen
class Deal:
    id: int


class Task(TypedDict):
    id: int


async def typed_rows(b24: B24OAuth) -> None:
    v2, v3 = b24.actions.v2, b24.actions.v3
    response = await v2.call.make("crm.deal.get", {"id": 1}, result_type=Deal, timeout=3)
    assert_type(response, AjaxResult[Deal])
    assert_type(response.result, Deal)
    assert_type(await v2.call_list.make("crm.deal.list", result_type=Deal, max_items=5), Result[list[Deal]])
    async for page in v2.fetch_list.make("crm.deal.list", result_type=Deal):
        assert_type(page, list[Deal])
    async for tasks in v3.fetch_list.make("tasks.task.list", result_type=Task):
        assert_type(tasks, list[Task])
    assert_type((await v3.call_tail.make("main.eventlog.tail", result_type=Task)).result, list[Task])
    assert_type(await v2.batch.make({"a": ("crm.deal.get",)}, result_type=Deal), Result[dict[str, Deal]])
    assert_type(await v2.batch_by_chunk.make([("crm.deal.get",)], result_type=Deal), Result[list[Deal | None]])
    assert_type(await v3.aggregate.make("x.aggregate", select={"count": ["id"]}), Result[dict[str, Any]])


async def hooks(b24: B24OAuth) -> None:
    async def save(refreshed: RefreshedAuth) -> None:
        assert_type(refreshed.b24_oauth_params, B24OAuthParams)

    async def custom() -> HandlerRefreshAuth:
        return {"access_token": "a", "refresh_token": "r"}

    b24.set_callback_refresh_auth(save)
    b24.set_callback_refresh_auth(lambda refreshed: refreshed.auth_data)
    b24.set_custom_refresh_auth(custom)
