from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import b24oauth


def _as_ruff_sorts(name: str) -> tuple[int, str]:
    kind = 0 if name.isupper() else 1 if name[:1].isupper() else 2
    return kind, name


def test_public_names_are_sorted() -> None:
    assert b24oauth.__all__ == sorted(b24oauth.__all__, key=_as_ruff_sorts)
    assert len(b24oauth.__all__) == len(set(b24oauth.__all__))


@pytest.mark.parametrize("name", b24oauth.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(b24oauth, name) is not None


def test_names_are_loaded_from_where_type_checkers_read_them() -> None:
    tree = ast.parse(Path(b24oauth.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    read = {(f"{node.module}", alias.name) for node in imports for alias in node.names}
    assert read == {(f"b24oauth.{home}", name) for name, home in b24oauth._HOMES.items()}
    assert set(b24oauth.__all__) == {name for _, name in read} | {"__version__"}


def test_a_name_that_does_not_exist_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        b24oauth.Nothing  # noqa: B018  # asking is the test
    assert set(b24oauth.__all__) <= set(dir(b24oauth))


@pytest.mark.parametrize(("name", "module"), b24oauth._NEW_HOMES.items())
def test_a_name_of_0_1_0_that_moved_warns_and_says_where_it_is(name: str, module: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"write `from b24oauth.{module} import {name}`"):
        value = getattr(b24oauth, name)
    home = importlib.import_module(f"b24oauth.{module}")
    assert value is getattr(home, name)
    assert name in home.__all__


def test_public_names_are_few() -> None:
    assert len(b24oauth.__all__) <= 35
    assert not set(b24oauth._NEW_HOMES) & set(b24oauth.__all__)


def test_importing_starts_nothing_and_needs_no_extra() -> None:
    script = (
        # httpx brings rich along where it is installed; that is not ours.
        "import sys, threading, httpx\n"
        "before = set(sys.modules)\n"
        "import b24oauth\n"
        "assert 'b24oauth.client' not in sys.modules\n"
        "[getattr(b24oauth, name) for name in b24oauth.__all__]\n"
        "extras = {'uvicorn', 'rich', 'pytest', 'hypothesis', 'fastapi', 'aiohttp', 'starlette'}\n"
        "print(sorted(extras & (set(sys.modules) - before)), threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[] 1\n", "")
