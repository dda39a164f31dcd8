"""One trace from the request that reaches a web application to the requests that reach the portal."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI

from b24oauth import B24OAuth
from b24oauth.contrib.fastapi import client, lifespan_client
from b24oauth.testing import FakePortal
from tests.support.clients import fake_portal
from tests.support.telemetry import Telemetry, id_of

# Older versions of FastAPI make no spans of their own.
pytest.importorskip("fastapi.telemetry")
pytestmark = pytest.mark.anyio


def application(portal: FakePortal, http: httpx.AsyncClient, telemetry: Telemetry) -> FastAPI:
    def make() -> B24OAuth:
        return B24OAuth(
            portal.issue(),
            portal.secret,
            http_client=http,
            clock=portal.clock.now,
            observers=telemetry.observers,
        )

    web = FastAPI(
        lifespan=lifespan_client(make),
        telemetry={"tracer_provider": telemetry.tracers, "meter_provider": telemetry.meters, "logs": False},
    )

    @web.get("/deals/{number}")
    async def deal(number: int, b24: Annotated[B24OAuth, Depends(client)]) -> Any:
        deal, me = await asyncio.gather(b24.call("crm.deal.get", {"id": number}), b24.call("profile"))
        return {"title": deal["TITLE"], "for": me["ID"]}

    return web


async def test_one_trace_leads_from_the_handler_to_the_requests_of_its_calls() -> None:
    portal, telemetry = fake_portal(rows={"crm.deal": 20}, latency=0.1), Telemetry()
    async with httpx.AsyncClient(transport=portal.transport()) as http:
        web = application(portal, http, telemetry)
        async with (
            web.router.lifespan_context(web),
            httpx.AsyncClient(transport=httpx.ASGITransport(web), base_url="http://app.example") as browser,
        ):
            portal.expire_tokens()
            answers = await asyncio.gather(*(browser.get(f"/deals/{number}") for number in range(1, 11)))
    assert [answer.json()["title"] for answer in answers] == [f"Deal {number}" for number in range(1, 11)]
    telemetry.assert_nothing_is_open()
    served = telemetry.spans.named("GET /deals/{number}")
    assert len(served) == 10
    for span in served:
        of_trace = [other for other in telemetry.spans.ended if trace_of(other) == trace_of(span)]
        (endpoint,) = [other for other in of_trace if other.name == "fastapi.endpoint"]
        calls = telemetry.spans.below(endpoint)
        assert [call.name for call in calls] == ["crm.deal.get", "profile"]
        requests = [request for call in calls for request in telemetry.spans.below(call)]
        assert {(request.attributes or {})["server.address"] for request in requests} == {"portal.example"}
        assert {id_of(other) for other in [*calls, *requests]} <= {id_of(other) for other in of_trace}
    # The refresh belongs to none of them.
    refresh = telemetry.spans.one("b24oauth.refresh")
    assert refresh.parent is None
    assert trace_of(refresh) not in {trace_of(span) for span in served}


def trace_of(span: Any) -> int:
    number: int = span.context.trace_id
    return number
