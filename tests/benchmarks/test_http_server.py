import asyncio

import httpx
import pytest

from b24oauth import B24OAuth, NotFoundError
from b24oauth.testing import FakePortal
from benchmarks.http_server import PortalProtocol, Portals

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def portals():
    portals = Portals(FakePortal())
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: PortalProtocol(portals), "127.0.0.1", 0)
    portals.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    put(portals)
    yield portals
    server.close()


def put(portals, **options):
    portals.use(FakePortal(origin=portals.origin, oauth_origin=portals.origin, **options))
    return portals.portal


def client(portal):
    return B24OAuth(portal.issue(), portal.secret, trusted_oauth_hosts=portal.trusted_oauth_hosts)


async def test_a_client_calls_and_reads_a_list(portals):
    portal = put(portals, record=True)
    async with client(portal) as b24:
        assert (await b24.actions.v2.call.make("crm.deal.get", {"id": 7})).result["TITLE"] == "Deal 7"
        assert len((await b24.actions.v2.call_list.make("crm.deal.list")).get_data()) == 120
        with pytest.raises(NotFoundError):
            await b24.actions.v2.call.make("none.such")
    assert portals.served == len(portal.requests)


async def test_answers_that_take_time_wait_for_each_other_on_no_other_connection(portals):
    portal = put(portals, latency=0.001)
    async with client(portal) as b24:
        calls = (b24.actions.v2.call.make("crm.deal.get", {"id": number}) for number in range(1, 21))
        results = [response.result["ID"] for response in await asyncio.gather(*calls)]
    assert results == [str(number) for number in range(1, 21)]
    assert portals.connections <= 20


async def test_a_request_that_comes_in_pieces_is_answered_once(portals):
    host, _, port = portals.origin.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = b'{"id": 3, "auth": "%s"}' % portals.portal.issue().access_token.encode()
    head = b"POST /rest/crm.deal.get HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    for piece in (head[:20], head[20:] + body[:5], body[5:]):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.count(b"HTTP/1.1") == 1
    assert b'"TITLE":"Deal 3"' in answer
    assert portals.served == 1


async def test_a_body_of_unknown_length_is_refused(portals):
    async def pieces():
        yield b"{}"

    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{portals.origin}/rest/profile", content=pieces())
    assert (answer.status_code, portals.served) == (501, 0)
