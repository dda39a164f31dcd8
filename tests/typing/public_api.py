"""Never run: what mypy and pyright must see of the public names. An error that they do not see fails their run too."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypedDict, TypeVar, assert_type

import attrs
import structlog
from pydantic import BaseModel
from structlog.typing import FilteringBoundLogger

from b24oauth import (
    AjaxResult,
    AuthData,
    B24OAuth,
    B24OAuthParams,
    B24OAuthSecret,
    B24Portals,
    BatchRefV2,
    BatchRefV3,
    File,
    Result,
    events,
)
from b24oauth.apps import B24App, OfflineBatch, OfflineEvent, Runner, RunnerHealth, run_portals, subscribe_offline
from b24oauth.bots import Bot, Button, Command, Joined, Keyboard, Message, Sent, Update, Upload
from b24oauth.downloads import Download
from b24oauth.models import HandlerRefreshAuth, RefreshedAuth
from b24oauth.observers import OpenTelemetryObserver, PrometheusObserver
from b24oauth.result import PayloadTime, SuccessPayload


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


async def short(b24: B24OAuth) -> None:
    assert_type(await b24.call("crm.deal.get", {"id": 1}, timeout=5, max_attempts=2), Any)
    assert_type(await b24.call("crm.deal.get", result_type=Deal), Deal)
    assert_type(await b24.v3.call("tasks.task.get", {"id": 1}, result_type=Deal), Deal)
    async for row in b24.rows("crm.contact.list", result_type=Deal, max_items=5):
        assert_type(row, Deal)
    async with b24.pages("crm.contact.list", result_type=Deal) as pages:
        async for page in pages:
            assert_type(page, list[Deal])
    async for anything in b24.v3.tail("main.eventlog.tail"):
        assert_type(anything, Any)
    assert_type(await b24.v3.aggregate("main.eventlog.aggregate", select={"count": ["id"]}), dict[str, Any])
    patient = b24.with_options(timeout=120, max_attempts=5, descending=True)
    assert_type(await patient.call("crm.deal.get", result_type=Deal), Deal)
    await b24.call("crm.deal.get", {"id": 1}, timeout="5")  # type: ignore[call-overload]
    b24.with_options(concurency=5)  # type: ignore[call-arg]


def observed(params: B24OAuthParams, secret: B24OAuthSecret, filtering: FilteringBoundLogger) -> None:
    B24OAuth(params, secret, observers=[OpenTelemetryObserver(), PrometheusObserver()], logger=filtering)
    B24OAuth(params, secret, observers=[seen], logger=structlog.stdlib.get_logger())
    B24OAuth(params, secret, observers=[5])  # type: ignore[list-item]


def seen(event: events.Event) -> None:
    if isinstance(event, events.CallEvent):
        assert_type(event.call_id, int)
    if isinstance(event, events.CallFinished):
        assert_type(event.outcome, Literal["success", "error", "ambiguous", "cancelled"])


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


class Point(NamedTuple):
    x: int


class Model(BaseModel):
    id: int


T = TypeVar("T")


@dataclass
class Page(Generic[T]):
    items: list[T]


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


async def results_of_every_kind(b24: B24OAuth) -> None:
    v2, v3 = b24.actions.v2, b24.actions.v3
    assert_type((await v2.call.make("m", result_type=Model)).result, Model)
    assert_type((await v2.call.make("m", result_type=Task)).result, Task)
    assert_type((await v2.call.make("m", result_type=Point)).result, Point)
    assert_type((await v2.call.make("m", result_type=int)).result, int)
    assert_type((await v2.call.make("m", result_type=list[int])).result, list[int])
    assert_type((await v3.call.make("m", result_type=list[Model])).result, list[Model])
    assert_type((await v3.call.make("m", result_type=dict[str, Deal])).result, dict[str, Deal])
    assert_type((await v3.call.make("m", result_type=tuple[int, ...])).result, tuple[int, ...])
    assert_type((await v3.call.make("m", result_type=Page[Deal])).result.items, list[Deal])
    assert_type((await v2.call_list.make("m", result_type=Model)).result, list[Model])
    assert_type((await v2.call_list.make("m", result_type=dict[str, int])).result, list[dict[str, int]])
    async for points in v2.fetch_list.make("m", result_type=Point):
        assert_type(points, list[Point])
    assert_type((await v3.call_list.make("m", result_type=Model)).result, list[Model])
    async for models in v3.fetch_list.make("m", result_type=Model):
        assert_type(models, list[Model])
    async for maps in v3.fetch_tail.make("m", result_type=dict[str, Task]):
        assert_type(maps, list[dict[str, Task]])
    assert_type((await v3.call_tail.make("m", result_type=Point)).result, list[Point])
    assert_type((await v2.batch.make({"a": ("m",)}, result_type=list[int])).result, dict[str, list[int]])
    assert_type((await v3.batch.make([("m",)], result_type=Model)).result, list[Model | None])
    assert_type((await v3.batch_by_chunk.make({"a": ("m",)}, result_type=Task)).result, dict[str, Task])


async def wrong_use_is_seen(b24: B24OAuth) -> None:
    v2, v3 = b24.actions.v2, b24.actions.v3
    await v2.call.make("m", result_type="Deal")  # type: ignore[call-overload]
    await v2.call_list.make("m", result_type=Deal(1))  # type: ignore[call-overload]
    v3.fetch_tail.make("m", result_type=5)  # type: ignore[call-overload]
    await v2.batch.make([("m",)], result_type=[Deal])  # type: ignore[call-overload]
    "".join((await v2.call.make("m", result_type=Model)).result)  # type: ignore[arg-type]
    abs((await v2.call_list.make("m", result_type=Point)).result[0].y)  # type: ignore[attr-defined]
    (await v3.call.make("m", result_type=list[int])).result[0].upper()  # type: ignore[attr-defined]
    (await v2.call.make("m", result_type=Task)).result["title"]  # type: ignore[typeddict-item]


async def hooks(b24: B24OAuth) -> None:
    async def save(refreshed: RefreshedAuth) -> None:
        assert_type(refreshed.b24_oauth_params, B24OAuthParams)

    async def custom() -> HandlerRefreshAuth:
        return {"access_token": "a", "refresh_token": "r"}

    b24.set_callback_refresh_auth(save)
    b24.set_callback_refresh_auth(lambda refreshed: refreshed.auth_data)
    b24.set_custom_refresh_auth(custom)


async def offline_events(app: B24App, portals: B24Portals) -> None:
    async def consume(b24: B24OAuth) -> None:
        async for batch in app.offline_events("member", auth_connector="sync", limit=10, poll=None):
            assert_type(batch, OfflineBatch)
            for event in batch:
                assert_type(event, OfflineEvent)
            await batch.fail(event for event in batch if event.user_id == 1)

    async def patient(b24: B24OAuth) -> float | None:
        return 5 if b24.is_idle else None

    await run_portals(app, consume, name="deals", concurrency=5)
    async with Runner(portals, patient, name="deals", on_error=lambda error, member_id: member_id) as runner:
        assert_type(runner.health(), RunnerHealth)
    Runner(app, consume)  # type: ignore[call-arg]
    app.offline_events("member", connector="sync")  # type: ignore[call-arg]
    assert_type(await subscribe_offline(await portals.get("member"), ["ONCRMDEALADD"]), list[str])


async def bots(app: B24App, b24: B24OAuth) -> None:
    bot = Bot("echo", name="Echo", type="personal", work_position="Parrot")

    @bot.message
    async def echo(message: Message) -> None:
        sent = await message.answer(message.text, keyboard=Keyboard([Button("Go", command="go")]), files=["a.txt"])
        assert_type(sent, Sent)
        assert_type(await sent.edit("changed"), Sent)
        assert_type(message.b24, B24OAuth)
        async with message.typing():
            await message.stream(Upload("a.txt", bytes_of()).name for _ in ())  # type: ignore[arg-type]
        for file in message.files:
            assert_type(await file.download("a.txt"), Download)

    @bot.joined
    async def joined(event: Update) -> None:
        assert_type(event.dialog_id, str)

    @bot.command("go", title={"en": "Goes"})
    async def go(command: Command) -> None:
        assert_type(command.message, Message)

    @bot.message  # type: ignore[type-var]
    async def wrong(event: Joined) -> None: ...

    @bot.error
    def failed(error: Exception, update: Update | None) -> None: ...

    Bot("echo", name="Echo", type="robot")  # type: ignore[arg-type]
    Button("Go", color="red")  # type: ignore[arg-type]
    bot.attach(app, url="https://app.example/")
    assert_type(await bot.register(b24), int)
    await bot.run(b24, poll=10)
    await bot.run_portals(app, concurrency=5)


async def bytes_of() -> AsyncIterator[bytes]:
    yield b""
