"""What `import` costs, each in a process of its own, as `-X importtime` tells it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile

from benchmarks.samples import Check, Samples, Section, Setup

__all__ = ["import_times"]

# What is run, and the package that it needs. A package may load its parts when they are asked for, so the import alone
# tells less than the import with what is used.
STATEMENTS = {
    "import httpx": "httpx",
    "import b24oauth": "b24oauth",
    "from b24oauth import B24OAuth": "b24oauth",
    "import aiohttp": "aiohttp",
    "import b24pysdk": "b24pysdk",
    "import fast_bitrix24": "fast_bitrix24",
}
BASE = "import httpx"
OURS = "import b24oauth"
MARK = "begin"


def import_times(setup: Setup) -> Section:
    """Imports everything that is installed, in turn."""
    present = [code for code, package in STATEMENTS.items() if importlib.util.find_spec(package) is not None]
    times, modules = Samples(), dict[str, int]()
    with tempfile.TemporaryDirectory() as compiled:
        # The first one compiles, as an installation does.
        for number in range(setup.rounds + 1):
            for code in present:
                milliseconds, modules[code] = _imported(code, compiled)
                if number:
                    times.add(code, milliseconds)
    return Section(
        key="imports",
        title="Import time",
        columns=("statement", "ms", f": `{BASE}`", "modules"),
        rows=[
            [
                f"`{code}`",
                times.shown(code, 0),
                f"{times.ratio(code, BASE):.2f}",
                str(modules[code]),
            ]
            for code in present
        ],
        checks=[Check(what=f"{OURS} : {BASE}", value=times.ratio(OURS, BASE), bound=1.3)],
        data={"ms": times.values, "modules": modules},
    )


def _imported(statement: str, compiled: str) -> tuple[float, int]:
    """Milliseconds of all the modules that the statement loads, and how many modules are loaded then."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    code = f"import sys; print({MARK!r}, file=sys.stderr); {statement}; print(len(sys.modules))"
    process = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment | {"PYTHONPYCACHEPREFIX": compiled},
    )
    _, _, told = process.stderr.partition(f"{MARK}\n")
    own = [int(line.removeprefix("import time:").split("|")[0]) for line in told.splitlines()]
    return sum(own) / 1000, int(process.stdout)
