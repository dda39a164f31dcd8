"""A fake portal and virtual time for tests of programs that use b24oauth."""

from b24oauth.testing import faults
from b24oauth.testing.bots import FakeBots
from b24oauth.testing.clock import VirtualClock, VirtualClockLoop, run_virtual
from b24oauth.testing.cloud import FakeCloud
from b24oauth.testing.installed import FakeInstallation
from b24oauth.testing.list_shapes import ListShape
from b24oauth.testing.messages import Reply, RequestRecord, RestError
from b24oauth.testing.portal import FakePortal

__all__ = [
    "FakeBots",
    "FakeCloud",
    "FakeInstallation",
    "FakePortal",
    "ListShape",
    "Reply",
    "RequestRecord",
    "RestError",
    "VirtualClock",
    "VirtualClockLoop",
    "faults",
    "run_virtual",
]
