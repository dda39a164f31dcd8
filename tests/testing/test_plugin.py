import subprocess
import sys
import time
from pathlib import Path

import pytest

import b24oauth
from b24oauth.testing import FakePortal, VirtualClock

TESTS = """
import pytest

pytestmark = pytest.mark.anyio

@pytest.fixture
def anyio_backend():
    from b24oauth.testing import VirtualClockLoop
    return ("asyncio", {"loop_factory": VirtualClockLoop})

async def test_a_day_passes(fake_portal, virtual_clock):
    import asyncio
    await asyncio.sleep(86400)
    assert fake_portal.clock is virtual_clock
    assert virtual_clock.elapsed == pytest.approx(86400)
"""


def pytest_run(directory, text, *plugins):
    directory.joinpath("test_it.py").write_text(text)
    options = [option for plugin in plugins for option in ("-p", plugin)]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "--rootdir", str(directory)]
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": ":".join(filter(None, sys.path))}
    return subprocess.run(
        [*command, str(directory)], capture_output=True, text=True, check=False, env=environment, cwd=directory
    )


def test_the_fixtures_give_a_portal_on_a_virtual_clock(tmp_path):
    run = pytest_run(tmp_path, TESTS, "anyio", "b24oauth.testing.plugin")
    assert "1 passed" in run.stdout, run.stdout + run.stderr


# What the root package imports is not the plugin's to decide, so it is replaced by an empty one.
ALONE = """
import sys, types
root = sys.modules["b24oauth"] = types.ModuleType("b24oauth")
root.__path__ = [sys.argv[1]]
import b24oauth.testing.plugin
print({"httpx", "uvicorn"} & set(sys.modules))
"""


def test_loading_the_plugin_loads_neither_httpx_nor_uvicorn():
    package = Path(b24oauth.__file__).parent
    run = subprocess.run([sys.executable, "-c", ALONE, str(package)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_pairs_of_the_fixture_are_good_by_the_real_clock_too(tmp_path):
    run = pytest_run(
        tmp_path,
        "import time\ndef test_it(fake_portal):\n    assert fake_portal.issue().expires > time.time() + 3000\n",
        "b24oauth.testing.plugin",
    )
    assert "1 passed" in run.stdout, run.stdout + run.stderr


def test_a_clock_of_ones_own_starts_where_it_is_told():
    portal = FakePortal(clock=VirtualClock(base=time.time()))
    assert portal.clock.now() == pytest.approx(time.time(), abs=60)
