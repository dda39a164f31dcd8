"""Every test of the wire runs over every transport, on real sockets and in real time, whatever the run chooses."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import pytest

from tests.support.wires import GIVEN, OWN, MakeWire, wire_of


@pytest.fixture(autouse=True)
def transport(monkeypatch: pytest.MonkeyPatch) -> None:
    """All libraries are here, and the environment of whoever runs the tests is not."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("SSL_CERT_"):
            monkeypatch.delenv(name)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {}  # real sockets want a real clock


@pytest.fixture(params=OWN)
def own(request: pytest.FixtureRequest) -> MakeWire:
    """Makes a wire with connections of its own."""
    return partial(wire_of, request.param)


@pytest.fixture(params=[*OWN, *GIVEN])
def kind(request: pytest.FixtureRequest) -> str:
    """A transport, or a client of a library that is given."""
    name: str = request.param
    return name


@pytest.fixture
def make_wire(kind: str) -> MakeWire:
    """Makes a wire of this kind."""
    return partial(wire_of, kind)
