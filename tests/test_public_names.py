from __future__ import annotations

import subprocess
import sys

import pytest

import b24oauth
from b24oauth import errors


def _as_ruff_sorts(name: str) -> tuple[int, str]:
    kind = 0 if name.isupper() else 1 if name[:1].isupper() else 2
    return kind, name


def test_public_names_are_sorted() -> None:
    assert b24oauth.__all__ == sorted(b24oauth.__all__, key=_as_ruff_sorts)
    assert len(b24oauth.__all__) == len(set(b24oauth.__all__))


@pytest.mark.parametrize("name", b24oauth.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(b24oauth, name) is not None


def test_nothing_is_imported_at_the_top_without_being_public() -> None:
    modules = {name for name, value in vars(b24oauth).items() if type(value) is type(b24oauth)}
    found = {name for name in vars(b24oauth) if not name.startswith("_")} - modules
    assert found == set(b24oauth.__all__) - {"__version__"}


def test_every_error_is_public() -> None:
    assert set(errors.__all__) <= set(b24oauth.__all__)


def test_importing_starts_nothing_and_needs_no_extra() -> None:
    script = (
        # httpx brings rich along where it is installed; that is not ours.
        "import sys, threading, httpx\n"
        "before = set(sys.modules)\n"
        "import b24oauth\n"
        "extras = {'uvicorn', 'rich', 'pytest', 'hypothesis', 'fastapi', 'aiohttp', 'starlette'}\n"
        "print(sorted(extras & (set(sys.modules) - before)), threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[] 1\n", "")
