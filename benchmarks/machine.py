"""What the figures were measured on, and which core does what."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

__all__ = ["PACKAGES", "machine", "pin", "versions"]

PACKAGES = (
    "b24oauth", "httpx", "httpcore", "anyio", "aiolimiter", "attrs", "cattrs", "aiohttp", "httpx2", "httpcore2",
    "sniffio", "fast_bitrix24", "b24pysdk", "requests", "orjson",
)  # fmt: skip


def pin(who: Literal["portal", "client"]) -> None:
    """Keeps this process, and those it starts, on the portal's core or on the others."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[-1:] if who == "portal" else cores[:-1])


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
