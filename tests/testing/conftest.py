import pytest

from b24oauth.testing import FakePortal, VirtualClock, VirtualClockLoop
from tests.testing.calls import Caller


@pytest.fixture
def anyio_backend():
    return ("asyncio", {"loop_factory": VirtualClockLoop})


@pytest.fixture
def portal():
    return FakePortal(clock=VirtualClock())


@pytest.fixture
async def caller(portal):
    async with Caller(portal) as caller:
        yield caller
