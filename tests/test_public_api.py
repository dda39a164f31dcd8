"""Public names and signatures change only on purpose: they are compared with a committed list."""

from __future__ import annotations

import importlib

import pytest

from tests.support.public_api import COMMITTED, describe, public_modules

UPDATE = "python -m tests.support.public_api"


def test_public_names_and_signatures_are_the_committed_ones() -> None:
    committed = set(COMMITTED.read_text(encoding="utf-8").splitlines())
    current = set(describe().splitlines())
    removed, added = sorted(committed - current), sorted(current - committed)
    report = "\n".join([*(f"- {line}" for line in removed), *(f"+ {line}" for line in added)])
    advice = "A removal needs a deprecation first (docs/compatibility.md). " if removed else ""
    assert not report, f"The public API has changed.\n{report}\n{advice}If this is wanted: {UPDATE}"


@pytest.mark.parametrize("module", public_modules())
def test_a_public_module_says_what_it_exports(module: str) -> None:
    found = importlib.import_module(module)
    assert found.__all__
    assert [name for name in found.__all__ if not hasattr(found, name)] == []
