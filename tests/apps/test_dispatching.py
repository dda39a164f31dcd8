"""Requests that are handed on to a queue before they are answered, and handled elsewhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from b24oauth import B24OAuth
from b24oauth.apps import MessageRequested, Request, Uninstalled
from b24oauth.errors import InvalidDataError
from b24oauth.testing.applications import encode_form, robot_body
from tests.apps.desk import Desk, desk

pytestmark = pytest.mark.anyio


class Queue:
    """Carries messages as JSON, as a queue of tasks does."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.is_away = False

    async def put(self, message: dict[str, Any]) -> None:
        if self.is_away:
            raise ConnectionError("the queue is away")
        self.messages.append(json.dumps(message))

    async def deliver(self, here: Desk) -> None:
        messages, self.messages = self.messages, []
        for message in messages:
            await here.app.run(json.loads(message))


async def test_a_verified_event_is_handed_on_and_handled_by_the_worker() -> None:
    queue = Queue()
    async with desk(app={"dispatch": queue.put}) as here:

        @here.app.on("ONCRMDEALADD")
        async def added(event: Any, b24: B24OAuth) -> None:
            here.called.append((event.object_id, event.auth.user_id, (await event.b24.call("profile"))["ID"]))

        await here.install()
        data = {"FIELDS": {"ID": "5"}}
        assert (await here.app.handle(here.event("ONCRMDEALADD", data=data))).status == 200
        assert (await here.app.handle(here.event("ONCRMDEALADD", data=data, application_token="wrong"))).status == 403
        await here.settled()
        assert here.called == []
        await queue.deliver(here)
        assert here.called == [("5", 1, "1")]


async def test_a_message_carries_no_token() -> None:
    queue = Queue()
    async with desk(app={"dispatch": queue.put}) as here:

        async def handler(event: Any, b24: B24OAuth) -> None:
            with pytest.raises(InvalidDataError, match="handed on by `dispatch`"):
                _ = event.as_user
            here.called.append(type(event).__name__)

        here.app.on_install(handler)
        here.app.on("ONAPPUSERREADY")(handler)
        here.app.on("ONAPPMETHODCONFIRM")(handler)
        here.app.on("ONIMBOTV2MESSAGEADD")(handler)
        here.app.robot("demo")(handler)
        await here.install()
        system = here.portal.issue(user_id=512).to_dict() | {"user_id": 512}
        bot = {"bot": {"id": 3, "auth": {"access_token": "B0T", "member_id": here.portal.member_id}}}
        for name, data in (
            ("ONAPPUSERREADY", system),
            ("ONAPPMETHODCONFIRM", {"TOKEN": "A5KED", "METHOD": "crm.deal.get"}),
            ("ONIMBOTV2MESSAGEADD", bot),
        ):
            assert (await here.app.handle(here.event(name, data=data))).status == 200
        assert (await here.app.handle(Request(body=robot_body(here.portal, "demo")))).status == 200
        sent = "".join(queue.messages)
        pair = await here.pair()
        for secret in (
            pair.access_token, pair.refresh_token, here.portal.application_token, system["access_token"],
            system["refresh_token"], "B0T", "A5KED",
        ):  # fmt: skip
            assert secret not in sent
        await queue.deliver(here)
        assert here.called == ["Installed", "UserReady", "MethodConfirmed", "BotEvent", "RobotStarted"]


async def test_an_event_that_cannot_be_handed_on_is_not_acknowledged(caplog: pytest.LogCaptureFixture) -> None:
    queue = Queue()
    async with desk(app={"dispatch": queue.put, "ignore_duplicates": 60.0}) as here:

        @here.app.on("ONCRMDEALADD")
        async def added(event: Any, b24: B24OAuth) -> None:
            here.called.append(event.name)

        await here.install()
        queue.is_away = True
        assert (await here.app.handle(here.event("ONCRMDEALADD"))).status == 503
        assert "dispatch failed" in caplog.text
        queue.is_away = False
        assert (await here.app.handle(here.event("ONCRMDEALADD"))).status == 200
        await queue.deliver(here)
        assert here.called == ["ONCRMDEALADD"]


async def test_an_event_without_a_handler_and_a_page_are_not_handed_on() -> None:
    queue = Queue()
    async with desk(app={"dispatch": queue.put}) as here:
        await here.install()

        @here.app.page("/")
        async def main(page: Any) -> str:
            return "here"

        @here.app.on("ONCRMLEADADD", ack="after")
        async def added(event: Any, b24: B24OAuth) -> None:
            here.called.append(event.name)

        await here.app.handle(here.event("ONCRMDEALADD"))
        await here.app.handle(here.event("ONCRMLEADADD"))
        assert (await here.app.handle(here.page())).body == b"here"
        assert (queue.messages, here.called) == ([], ["ONCRMLEADADD"])


async def test_errors_of_handlers_reach_the_queue_after_all_were_called() -> None:
    queue = Queue()
    async with desk(app={"dispatch": queue.put}) as here:

        @here.app.on("ONCRMDEALADD")
        async def fails(event: Any, b24: B24OAuth) -> None:
            raise RuntimeError("no")

        @here.app.on("ONCRMDEALADD")
        async def works(event: Any, b24: B24OAuth) -> None:
            here.called.append(event.name)

        here.app.on_error(lambda error, incoming: here.called.append(type(error)))
        await here.install()
        await here.app.handle(here.event("ONCRMDEALADD"))
        with pytest.raises(ExceptionGroup) as raised:
            await queue.deliver(here)
        assert [type(error) for error in raised.value.exceptions] == [RuntimeError]
        assert here.called == [RuntimeError, "ONCRMDEALADD"]


async def test_messages_of_a_portal_that_has_removed_the_application_are_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue = Queue()
    async with desk(app={"dispatch": queue.put}) as here:

        @here.app.on("ONCRMDEALADD")
        async def added(event: Any, b24: B24OAuth) -> None:
            raise AssertionError

        @here.app.on_uninstall
        async def removed(event: Uninstalled) -> None:
            here.called.append(event.cleans)

        await here.install()
        await here.app.handle(here.event("ONCRMDEALADD"))
        await here.app.handle(here.silent("ONAPPUNINSTALL", data={"CLEAN": 1}))
        await queue.deliver(here)
        assert here.called == [True]
        assert "A message was dropped" in caplog.text


async def test_a_system_user_that_is_ready_before_the_installation_reaches_its_handler(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue = Queue()
    async with desk(app={"dispatch": queue.put}) as here:

        @here.app.on("ONAPPUSERREADY")
        async def ready(event: Any, b24: B24OAuth) -> None:
            here.called.append((await b24.call("profile"))["ID"])

        system = here.portal.issue(user_id=512).to_dict() | {"user_id": 512}
        assert (await here.app.handle(here.event("ONAPPUSERREADY", data=system))).status == 200
        await queue.deliver(here)
        assert here.called == ["512"]
        assert "dropped" not in caplog.text


async def test_a_system_user_whose_portal_removed_the_application_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    queue = Queue()
    async with desk(app={"dispatch": queue.put}) as here:

        @here.app.on("ONAPPUSERREADY")
        async def ready(event: Any, b24: B24OAuth) -> None:
            raise AssertionError

        await here.install()
        system = here.portal.issue(user_id=512).to_dict() | {"user_id": 512}
        assert (await here.app.handle(here.event("ONAPPUSERREADY", data=system))).status == 200
        assert (await here.app.handle(here.silent("ONAPPUNINSTALL", data={"CLEAN": 1}))).status == 200
        await queue.deliver(here)
        assert "A message was dropped" in caplog.text


async def test_a_message_provider_is_called_with_what_is_to_be_sent() -> None:
    queue = Queue()
    async with desk(app={"dispatch": queue.put}) as here:

        @here.app.message_provider("sms")
        async def send(message: MessageRequested, b24: B24OAuth) -> None:
            here.called.append((message.recipient, message.text))

        await here.install()
        auth = {"member_id": here.portal.member_id, "application_token": here.portal.application_token}
        form = {"code": "sms", "message_id": "1", "message_to": "+4900", "message_body": "Hi", "auth": auth}
        assert (await here.app.handle(Request(body=encode_form(form)))).status == 200
        assert (await here.app.handle(Request(body=encode_form({**form, "code": "other"})))).status == 400
        await queue.deliver(here)
        assert here.called == [("+4900", "Hi")]


@pytest.mark.parametrize("message", [None, [], {}, {"form": "x"}, {"form": {}}, {"form": {}, "query": {"code": "x"}}])
async def test_what_is_no_message_is_refused(message: Any) -> None:
    async with desk() as here:
        with pytest.raises(InvalidDataError, match="The (message|request)"):
            await here.app.run(message)
