"""Where a command gets its credentials from."""

from __future__ import annotations

import getpass
import sys

import pytest

from b24oauth.cli.connecting import Access
from b24oauth.cli.problems import UsageError


@pytest.fixture
def _terminal(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("B24OAUTH_CLIENT_SECRET")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)


@pytest.mark.usefixtures("_terminal")
def test_a_terminal_is_asked_without_an_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getpass", lambda *_: " typed-S3CR3T ")
    access = Access.from_environment()
    assert access.secret is not None
    assert access.secret.client_secret == "typed-S3CR3T"
    assert "S3CR3T" not in repr(access)


@pytest.mark.usefixtures("_terminal")
def test_an_end_of_input_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(*_: object) -> str:
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", end)
    with pytest.raises(UsageError, match="B24OAUTH_CLIENT_SECRET"):
        Access.from_environment()
