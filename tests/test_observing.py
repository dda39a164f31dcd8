from __future__ import annotations

import logging
from typing import Any

import pytest

from b24oauth.events import CONTENT
from b24oauth.observing import Log, text_for_log, truncate_for_log

LEVELS = ["debug", "info", "warning", "error"]
TOLD = ["debug", "warning", "error"]


class Recorder:
    """A logger with the four methods and nothing else."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.records: list[tuple[str, str, dict[str, Any]]] = []
        self._failure = failure

    def __getattr__(self, level: str) -> Any:
        if level not in LEVELS:
            raise AttributeError(level)

        def write(msg: str, /, *, extra: dict[str, Any]) -> None:
            self.records.append((level, msg, extra))
            if self._failure is not None:
                raise self._failure

        return write


class Broken(logging.Logger):
    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name is logging's
        raise RuntimeError("broken")


@pytest.mark.parametrize("level", TOLD)
def test_a_record_goes_to_the_method_of_its_level_with_its_facts(level: str) -> None:
    recorder = Recorder()
    getattr(Log(recorder), level)("what happened", request_id="r", wait=1.5)
    assert recorder.records == [(level, "what happened", {"request_id": "r", "wait": 1.5})]


def test_a_logger_that_cannot_be_asked_hears_everything() -> None:
    assert Log(Recorder()).is_enabled_for(CONTENT)


def test_a_standard_logger_hears_what_it_is_set_to(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("test.observing")
    logger.setLevel(logging.WARNING)
    log = Log(logger)
    assert [level for level in (CONTENT, 10, 20, 30, 40) if log.is_enabled_for(level)] == [30, 40]
    log.debug("not heard")
    log.warning("100% heard", method="m")
    assert [(record.getMessage(), vars(record)["method"]) for record in caplog.records] == [("100% heard", "m")]


@pytest.mark.parametrize("failure", [RuntimeError("broken"), KeyError("message")])
def test_a_logger_that_fails_does_not_fail_the_call(failure: Exception) -> None:
    recorder = Recorder(failure)
    Log(recorder).error("what happened")
    assert len(recorder.records) == 1


def test_a_logger_that_cannot_say_whether_it_hears_is_left_alone() -> None:
    log = Log(Broken("broken"))
    assert not log.is_enabled_for(logging.CRITICAL)
    log.error("nobody hears")


def test_a_fact_that_logging_does_not_allow_does_not_fail_the_call() -> None:
    logger = logging.getLogger("test.observing.taken")
    logger.setLevel(logging.DEBUG)
    Log(logger).error("what happened", name="a record has one already")


def test_without_a_logger_the_packages_own_is_used_and_stays_silent(capsys: pytest.CaptureFixture[str]) -> None:
    log = Log()
    assert log.logger is logging.getLogger("b24oauth")
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("b24oauth").handlers)
    log.error("nobody configured logging")
    assert capsys.readouterr().err == ""


def test_a_logger_set_later_hears_what_comes_later() -> None:
    log, recorder = Log(Recorder()), Recorder()
    log.logger = recorder
    log.warning("later")
    assert [message for _, message, _ in recorder.records] == ["later"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("text", "text"),
        ({"a": [1, None, "я"]}, '{"a":[1,null,"я"]}'),
        (None, "null"),
        ("x" * 300, "x" * 300),
        ("x" * 301, "x" * 100 + "..."),
        (["x" * 400], '["' + "x" * 98 + "..."),
    ],
)
def test_long_values_are_cut_to_their_beginning(value: object, shown: str) -> None:
    assert truncate_for_log(value) == shown


def test_what_json_cannot_write_is_shown_all_the_same() -> None:
    circle: list[Any] = []
    circle.append(circle)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert text_for_log({(1, 2): "a"}) == "{(1, 2): 'a'}"
    assert text_for_log({"when": {1}}) == '{"when":"{1}"}'
    assert text_for_log(circle) == "[[...]]"
    assert text_for_log(deep) == "<too deep>"
