from __future__ import annotations

import asyncio
import enum
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from b24oauth import AmbiguousResultError, ApiVersion, ClientStateError
from b24oauth.limits.manager import RestrictionManager
from b24oauth.observing import Log
from b24oauth.rest.credentials import HookGrant, WebhookCredentials
from b24oauth.rest.reporting import CallReport, Reporter
from tests.support.builders import ACCESS, PLANTED, REFRESH, answer, error, query

SECRETS = (ACCESS, REFRESH)


class Field(enum.Enum):
    TITLE = "TITLE"


class Watched(Mapping[str, Any]):
    """Counts how often it is looked into."""

    def __init__(self) -> None:
        self.looks = 0

    def __getitem__(self, key: str) -> Any:
        self.looks += 1
        return {"result": {"a": 1}, "time": {"operating": 1}}[key]

    def __iter__(self) -> Iterator[str]:
        self.looks += 1
        return iter(("result", "time"))

    def __len__(self) -> int:
        return 2


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record)


def heard_at(level: int) -> tuple[Log, list[logging.LogRecord]]:
    logger, records = logging.getLogger("test.records"), Records()
    logger.setLevel(level)
    logger.propagate = False
    logger.handlers = [records]
    return Log(logger), records.heard


def report_to(log: Log, params: Any = None) -> CallReport:
    grant = HookGrant("https://portal.example/rest/1/code/", "https://portal.example/rest/api/1/code/", "code")
    credentials = WebhookCredentials(grant)
    reporter = Reporter(log=log, api=ApiVersion.V2, credentials=credentials, limits=RestrictionManager())
    return CallReport(reporter, query("crm.deal.get", params))


def tell_everything(report: CallReport, payload: Any = None, body: bytes = b'{"error":"E"}') -> None:
    if report.is_detailed:
        report.started()
        report.attempt_started(1, 3)
    report.throttled("rate", 0.5)
    report.throttled("operating", 12.0)
    if report.has_content:
        report.sending(SECRETS)
        report.received({"result": 1} if payload is None else payload, SECRETS)
    report.received_error(answer(body, 500), SECRETS)
    report.attempt_finished(1, 3, 0.25, 200, None)
    report.attempt_finished(2, 3, 0.25, 400, error())
    report.retrying(error(), 1, 3, 2.0)
    report.succeeded(1, 0.5, 200)
    report.succeeded(2, 0.5, 200)
    report.failed(error(), 1, 0.5)
    report.failed(error("QUERY_LIMIT_EXCEEDED", 503), 3, 9.5)


def told(params: Any = None, payload: Any = None, body: bytes = b'{"error":"E"}') -> list[logging.LogRecord]:
    log, heard = heard_at(logging.DEBUG)
    tell_everything(report_to(log, params), payload, body)
    return heard


def shown(heard: list[logging.LogRecord]) -> str:
    return "\n".join(repr(vars(record)) for record in heard)


def test_every_event_of_a_call_is_a_sentence_with_status_duration_and_attempt() -> None:
    assert [(record.levelname, record.getMessage()) for record in told()] == [
        ("DEBUG", "crm.deal.get begins"),
        ("DEBUG", "crm.deal.get: attempt 1 of 3"),
        ("DEBUG", "crm.deal.get: throttled for 0.5 s for the rate limit"),
        ("INFO", "crm.deal.get: throttled for 12.0 s because its execution time is used up"),
        ("DEBUG", 'crm.deal.get sends {"auth":"***REDACTED***"}'),
        ("DEBUG", 'crm.deal.get received {"result":1,"time":null}'),
        ("DEBUG", 'crm.deal.get received {"error":"E"}'),
        ("DEBUG", "crm.deal.get: 200 in 0.250 s, attempt 1 of 3"),
        ("DEBUG", "crm.deal.get: 400 ERROR_CORE in 0.250 s, attempt 2 of 3: It went wrong"),
        ("DEBUG", "crm.deal.get: 400 ERROR_CORE, attempt 1 of 3; the next one in 2.00 s"),
        ("DEBUG", "crm.deal.get succeeded: 200 in 0.500 s, 1 attempt"),
        ("INFO", "crm.deal.get succeeded: 200 in 0.500 s, 2 attempts"),
        ("DEBUG", "crm.deal.get failed: 400 ERROR_CORE in 0.500 s, 1 attempt: It went wrong"),
        ("WARNING", "crm.deal.get failed: 503 QUERY_LIMIT_EXCEEDED in 9.500 s, 3 attempts: It went wrong"),
    ]


def test_every_record_names_its_request() -> None:
    assert {vars(record)["request_id"] for record in told()} == {"request-1"}


def test_facts_stand_beside_the_sentence() -> None:
    record = vars(told()[8])
    assert (record["attempt"], record["max_attempts"], record["status"], record["error_code"]) == (
        2,
        3,
        400,
        "ERROR_CORE",
    )


@pytest.mark.parametrize(
    ("failure", "level"),
    [
        (error("NOT_FOUND", 404), None),
        (error("ERROR_CORE", 200), None),
        (error("TIMEOUT", 408), "WARNING"),
        (error("OPERATION_TIME_LIMIT", 429), "WARNING"),
        (error("INTERNAL", 500), "WARNING"),
        (error("NETWORK_ERROR", 0), "WARNING"),
        (AmbiguousResultError("lost", code="NETWORK_ERROR", status=0), "WARNING"),
        (AmbiguousResultError("refused later", code="E", status=403), "WARNING"),
        (ClientStateError("closed"), None),
        (asyncio.CancelledError(), None),
    ],
)
def test_only_calls_that_are_given_up_or_may_have_been_executed_are_warned_of(failure: Any, level: str | None) -> None:
    log, heard = heard_at(logging.INFO)
    report_to(log).failed(failure, 1, 0.5)
    assert [record.levelname for record in heard] == ([] if level is None else [level])


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_t12_secrets_are_masked_by_their_names() -> None:
    params = {"auth": PLANTED, "fields": {"password": PLANTED}, "cmd": [f"m?token={PLANTED}"]}
    body = json.dumps({"error": "E", "access_token": PLANTED}).encode()
    assert PLANTED not in shown(told(params, {"result": {"refresh_token": PLANTED}}, body))


def test_t12_secrets_are_masked_by_their_values_where_a_portal_repeats_them() -> None:
    body = json.dumps({"error": "E", "error_description": f"bad {ACCESS}"}).encode()
    heard = told(None, {"result": [ACCESS, REFRESH], "time": {"odd": ACCESS}}, body)
    assert ACCESS not in shown(heard)
    assert REFRESH not in shown(heard)


@pytest.mark.parametrize("before", range(75, 100))
def test_t12_a_secret_at_the_place_where_a_text_is_cut_does_not_show_its_beginning(before: int) -> None:
    padded = "-" * before + ACCESS + "-" * 400
    heard = told(None, {"result": padded, "time": {"odd": padded}}, json.dumps([padded]).encode())
    assert ACCESS[:4] not in shown([record for record in heard if "content" in vars(record)])


# --- never in the way -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [{Field.TITLE: 1}, {(1, 2): 1}, {"x": {1, 2}}, {"x": object()}, [{"a": 1}], {"x": float("nan")}, "text", {}],
)
def test_parameters_of_any_kind_can_be_told(params: Any) -> None:
    assert len(told(params)) == 14


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[1]", b'{"a": ' * 900])
def test_answers_of_any_kind_can_be_told(body: bytes) -> None:
    assert len(told(body=body)) == 14


def test_answers_of_any_depth_can_be_told() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    heard = told(payload={"result": deep, "time": deep})
    assert any("too deep" in record.getMessage() for record in heard)


def test_when_nobody_observes_nothing_is_built() -> None:
    log, heard = heard_at(logging.CRITICAL)
    params, payload = Watched(), Watched()
    tell_everything(report_to(log, params), payload)
    assert (heard, params.looks, payload.looks) == ([], 0, 0)


def test_when_somebody_observes_the_same_parameters_are_looked_into() -> None:
    params, payload = Watched(), Watched()
    told(params, payload)
    assert params.looks > 0
    assert payload.looks > 0
