"""What the figures were measured on, and which core does what."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

__all__ = [
    "PACKAGES", "allow_many_sockets", "forget_peak", "machine", "node_version", "peak_bytes", "pin", "resident_bytes",
    "versions",
]  # fmt: skip

PACKAGES = (
    "b24oauth", "httpx", "httpcore", "anyio", "aiolimiter", "attrs", "cattrs", "aiohttp", "httpx2", "httpcore2",
    "sniffio", "fast_bitrix24", "b24pysdk", "requests", "msgspec", "orjson",
)  # fmt: skip


def pin(who: Literal["portal", "client"]) -> None:
    """Keeps this process, and those it starts, on the portal's core or on the others."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[-1:] if who == "portal" else cores[:-1])


def allow_many_sockets() -> None:
    """Raises the number of files that this process may have open to what the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems allow no more than this, though they say that there is no limit.
    resource.setrlimit(resource.RLIMIT_NOFILE, (10_000 if most == resource.RLIM_INFINITY else most, most))


def resident_bytes() -> int:
    """Memory of this process that is resident now; on systems without `/proc` the most so far."""
    return _status("VmRSS")


def forget_peak() -> None:
    """Lets `peak_bytes` begin anew, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """The most memory of this process that was resident since `forget_peak`."""
    return _status("VmHWM")


def _status(name: str) -> int:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    # macOS counts in bytes, other systems in KiB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def machine() -> dict[str, str | int]:
    """Processor, cores, memory and system."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def versions() -> dict[str, str]:
    """What is installed, `absent` where a package is not."""
    return {name: _version(name) for name in PACKAGES}


def node_version(node: str | None) -> str:
    """The version of Node, or that there is none."""
    if node is None:
        return "absent"
    return subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
