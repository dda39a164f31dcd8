"""Loggers of other libraries in the place of one of `logging`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from typing import Any

import pytest
import structlog

from b24oauth import SdkError
from b24oauth.observing import Log
from b24oauth.testing import faults
from tests.support.clients import connected, fake_portal

pytestmark = pytest.mark.anyio


class Lines:
    """The last processor of structlog: keeps what would be written."""

    def __init__(self) -> None:
        self.seen: list[MutableMapping[str, Any]] = []

    def __call__(self, _: Any, method: str, line: MutableMapping[str, Any]) -> Any:
        self.seen.append({**line, "method_name": method})
        raise structlog.DropEvent


def logger_at(level: int, lines: Lines) -> Any:
    return structlog.wrap_logger(None, [lines], wrapper_class=structlog.make_filtering_bound_logger(level))


async def test_structlog_gets_the_sentence_as_event_and_the_facts_as_its_values() -> None:
    portal, lines = fake_portal(), Lines()
    portal.inject(faults.status(503, error="QUERY_LIMIT_EXCEEDED"), on="profile")
    async with connected(portal, logger=logger_at(logging.INFO, lines)) as b24:
        await b24.call("profile", request_id="r-1")
    (line,) = lines.seen
    assert line["method_name"] == "info"
    assert line["event"].startswith("profile succeeded: 200 in")
    facts = {name: line[name] for name in ("method", "api", "request_id", "portal", "attempts", "status")}
    assert facts == {
        "method": "profile",
        "api": "v2",
        "request_id": "r-1",
        "portal": "portal.example",
        "attempts": 2,
        "status": 200,
    }
    assert "extra" not in line


@pytest.mark.parametrize(
    ("level", "expected"), [(logging.DEBUG, True), (logging.INFO, False), (logging.CRITICAL, False)]
)
def test_what_structlog_filters_is_not_even_made(level: int, expected: bool) -> None:
    assert Log(logger_at(level, Lines())).is_enabled_for(logging.DEBUG) is expected


async def test_values_that_the_application_binds_stay_in_each_line() -> None:
    portal, lines = fake_portal(), Lines()
    logger = logger_at(logging.DEBUG, lines).bind(worker=3)
    async with connected(portal, logger=logger) as b24:
        await asyncio.gather(*(b24.call("profile") for _ in range(2)))
    assert {line["worker"] for line in lines.seen} == {3}
    calls = [line["call_id"] for line in lines.seen if line["event"] == "profile begins"]
    assert len(set(calls)) == 2
    # Nothing of one call is in the lines of another one.
    assert all(line["call_id"] in calls for line in lines.seen)


async def test_structlog_over_logging_writes_records(caplog: pytest.LogCaptureFixture) -> None:
    portal = fake_portal()
    logger = structlog.wrap_logger(
        logging.getLogger("application"),
        [structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    caplog.set_level(logging.INFO, "application")
    async with connected(portal, portal.issue(expired=True), logger=logger) as b24:
        await b24.call("profile")
    (record,) = [record for record in caplog.records if record.name == "application"]
    assert "was renewed in" in record.getMessage()
    assert vars(record)["member_id"] == portal.member_id


async def test_without_a_configuration_structlog_prints_lines(capsys: pytest.CaptureFixture[str]) -> None:
    portal = fake_portal()
    structlog.reset_defaults()
    async with connected(portal, logger=structlog.get_logger()) as b24:
        with pytest.raises(SdkError):
            await b24.call("no.such.method")
    shown = capsys.readouterr().out
    assert "no.such.method failed" in shown
    assert "portal.example" in shown


class Formatting:
    """A logger that formats each message that comes with arguments, and takes facts by `bind`."""

    def __init__(self, lines: list[tuple[str, dict[str, Any]]], facts: dict[str, Any] | None = None) -> None:
        self._lines = lines
        self._facts = facts or {}

    def bind(self, **facts: Any) -> Formatting:
        return Formatting(self._lines, self._facts | facts)

    def debug(self, message: str, *args: Any, **values: Any) -> None:
        text = message.format(*args, **values) if args or values else message
        self._lines.append((text, self._facts))

    info = warning = error = debug


async def test_a_logger_that_formats_its_messages_gets_them_as_they_are() -> None:
    portal, lines = fake_portal(), list[tuple[str, dict[str, Any]]]()
    async with connected(portal, logger=Formatting(lines)) as b24:
        await b24.call("profile", {"text": "{0} {braces} %s"})
    (sent,) = [text for text, facts in lines if text.startswith("profile sends")]
    assert "{0} {braces} %s" in sent
    assert all(facts["method"] == "profile" for _, facts in lines)
