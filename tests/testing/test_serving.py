import asyncio
import signal
import subprocess
import sys
from typing import Any

import httpx
import pytest

from b24oauth.testing import FakePortal, faults
from b24oauth.testing.messages import DroppedConnectionError
from tests.testing.calls import Caller

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


def over_tcp(portal, **options):
    return Caller(portal, transport=httpx.AsyncHTTPTransport(), **options)


async def test_it_is_served_under_its_own_address_and_goes_back():
    portal = FakePortal()
    async with portal.serve() as served, over_tcp(served) as caller:
        host = served.origin.removeprefix("http://")
        assert served.trusted_oauth_hosts == {host}
        assert (served.client_endpoint, served.server_endpoint) == (f"http://{host}/rest/", f"http://{host}/rest/")
        answer = (await caller.renew()).json()
        assert answer["client_endpoint"] == served.client_endpoint
        assert (await caller.v2("profile", token=answer["access_token"])).status_code == 200
    assert portal.origin == "https://portal.example"


async def test_cut_connections_are_reset_and_the_next_request_works():
    async with FakePortal().serve() as portal, over_tcp(portal) as caller:
        portal.inject(faults.drop_before())
        portal.inject(faults.drop_after())
        portal.inject(faults.refuse())
        for _ in range(3):
            with pytest.raises(httpx.ReadError):
                await caller.v2("crm.deal.add", {"fields": {}})
        assert (await caller.v2("crm.deal.add", {"fields": {}})).json()["result"] == 122
        assert portal.executed["crm.deal.add"] == 2


async def test_it_stops_with_a_request_still_unanswered_and_leaves_no_task():
    before = asyncio.all_tasks()
    async with FakePortal().serve() as portal, over_tcp(portal) as caller:
        arrived = asyncio.Event()
        portal.method("signal", lambda _: arrived.set())
        portal.inject(faults.hang())
        call = asyncio.create_task(caller.v2("signal"))
        await arrived.wait()
    with pytest.raises(httpx.TransportError):
        await call
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_a_client_that_hangs_up_ends_its_request():
    async with FakePortal().serve() as portal, over_tcp(portal, timeout=0.1) as caller:
        gone = asyncio.Event()

        async def never(_):
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                gone.set()

        portal.inject(never)
        with pytest.raises(httpx.ReadTimeout):
            await caller.v2("profile")
        async with asyncio.timeout(10):
            await gone.wait()
    assert portal.requests[0].status is None


async def test_answers_that_take_a_while_arrive():
    async with FakePortal(latency=0.02).serve() as portal, over_tcp(portal) as caller:
        answers = await asyncio.gather(*[caller.v2("profile") for _ in range(5)])
    assert {answer.status_code for answer in answers} == {200}


async def test_signals_stay_with_the_program():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    async with FakePortal().serve():
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


async def test_as_a_plain_asgi_application_it_answers_and_cannot_cut():
    portal = FakePortal()
    async with Caller(portal, transport=httpx.ASGITransport(portal)) as caller:
        assert (await caller.v2("profile")).status_code == 200
        portal.inject(faults.drop_before())
        with pytest.raises(DroppedConnectionError):
            await caller.v2("profile")


async def test_it_takes_part_in_a_servers_lifespan_and_refuses_web_sockets():
    events = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent = []

    async def receive():
        return next(events)

    async def send(message):
        sent.append(message["type"])

    await FakePortal()({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    with pytest.raises(ValueError, match="websocket"):
        await FakePortal()({"type": "websocket"}, receive, send)


def test_without_uvicorn_it_says_what_to_install():
    program = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from b24oauth.testing import FakePortal\n"
        "try: FakePortal().serve()\n"
        "except ModuleNotFoundError as error: print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 'pip install "b24oauth[testing]"' in run.stdout


async def test_a_portal_listens_where_it_is_told_and_says_so_when_it_cannot() -> None:
    first, second = FakePortal(), FakePortal()
    async with first.serve() as served:
        port = int(served.origin.rpartition(":")[2])
        with pytest.raises(OSError, match=f"port {port}"):
            async with second.serve(port=port):
                pass
    async with second.serve(host="127.0.0.1", port=port) as again:
        assert again.origin == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("where", "kind"), [({"port": -1}, ValueError), ({"port": "80"}, ValueError), ({"host": 5}, TypeError)]
)
async def test_a_wrong_address_is_refused_by_name(where: Any, kind: Any) -> None:
    with pytest.raises(kind, match=next(iter(where))):
        async with FakePortal().serve(**where):
            pass


async def test_a_client_reads_the_portals_app_info_where_the_oauth_server_shares_its_address():
    async with FakePortal().serve() as portal, over_tcp(portal) as caller:
        assert (await caller.result("app.info"))["INSTALLED"] is True
        answer = await caller.http.post(f"{portal.server_endpoint}app.info", data={"auth": caller.pair.access_token})
        assert answer.json()["result"]["install"]["member_id"] == portal.member_id
