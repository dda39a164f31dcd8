import asyncio

import httpx
import pytest

from b24oauth.testing import FakePortal
from tests.testing.calls import Caller

pytestmark = pytest.mark.anyio


async def test_loopback_on_the_virtual_loop_is_not_timed_out_falsely():
    async with (
        FakePortal(latency=0.02).serve() as portal,
        Caller(portal, transport=httpx.AsyncHTTPTransport(), timeout=5) as caller,
    ):
        answers = await asyncio.gather(*[caller.v2("profile") for _ in range(20)])
    assert {answer.status_code for answer in answers} == {200}
    assert portal.clock.elapsed < 5
