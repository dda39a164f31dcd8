from __future__ import annotations

import enum
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from b24oauth import ApiVersion, RateLimitConfig, RateLimiter
from b24oauth.http.records import CallRecords
from b24oauth.observing import Log
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


def rate_limiter() -> RateLimiter:
    return RateLimiter(RateLimitConfig(), wall_clock=lambda: 0.0)


def tell_everything(records: CallRecords, payload: Any = None, body: bytes = b'{"error":"E"}') -> None:
    records.starting()
    records.attempt(1, 3)
    records.blocked(1.5)
    records.sending(SECRETS)
    records.answered({"result": 1} if payload is None else payload, SECRETS)
    records.not_answered(answer(body, 500), SECRETS)
    records.not_answered(None, ())
    records.token_refused()
    records.renewing()
    records.rate(rate_limiter())
    records.succeeded(0.5)
    records.failed(error(), 1, 3)
    records.refused_for_good(error())
    records.recognized(error(), 2.0, "rateLimiter")
    records.recognized(error(), 2.0, None)
    records.waiting(2.0, 1, 3)
    records.exhausted(3, 3)


def told(params: Any = None, payload: Any = None, body: bytes = b'{"error":"E"}') -> list[logging.LogRecord]:
    log, heard = heard_at(logging.DEBUG)
    tell_everything(CallRecords(log, query("crm.deal.get", params), ApiVersion.V2), payload, body)
    return heard


def shown(heard: list[logging.LogRecord]) -> str:
    return "\n".join(repr(vars(record)) for record in heard)


def named(heard: list[logging.LogRecord], message: str) -> dict[str, Any]:
    [record] = [record for record in heard if record.getMessage() == message]
    return vars(record)


def test_every_moment_of_a_call_is_told_in_the_references_words() -> None:
    assert [(record.levelname, record.getMessage()) for record in told()] == [
        ("DEBUG", "http request starting"),
        ("INFO", "http request attempt"),
        ("INFO", "operatingLimiter blocked method crm.deal.get"),
        ("INFO", "post/send"),
        ("INFO", "post/response"),
        ("INFO", "post/catchError"),
        ("INFO", "post/catchError"),
        ("INFO", "http auth error detected"),
        ("INFO", "http refreshing auth token"),
        ("DEBUG", "rateLimiter state"),
        ("DEBUG", "http request successful"),
        ("DEBUG", "http request failed"),
        ("ERROR", "client error 400 (ERROR_CORE) for the crm.deal.get method is not retryable"),
        ("ERROR", "rateLimiter recognized the ERROR_CORE error for the crm.deal.get method"),
        ("ERROR", "recognized the ERROR_CORE error for the crm.deal.get method"),
        ("DEBUG", "http wait 2.00 sec."),
        ("WARNING", "http all retry attempts exhausted"),
    ]


def test_every_record_names_its_request() -> None:
    assert {vars(record)["request_id"] for record in told()} == {"request-1"}


def test_facts_stand_beside_the_words() -> None:
    heard = told({"id": 1}, {"result": {"ID": "1"}, "time": {"operating": 1}})
    assert named(heard, "http request attempt")["attempt"] == {"current": 1, "max": 3}
    assert named(heard, "http request starting")["params"] == {"id": 1}
    assert named(heard, "post/send")["params"] == '{"id":1,"auth":"***REDACTED***"}'
    assert named(heard, "post/response")["result"] == '{"ID":"1"}'
    assert named(heard, "post/response")["time"] == '{"operating":1}'
    assert named(heard, "http request failed")["error"]["code"] == "ERROR_CORE"
    assert named(heard, "rateLimiter state")["drain_rate"] == {"current": 2.0, "original": 2.0}


@pytest.mark.parametrize("status", [200, 408, 429, 500])
def test_only_refusals_for_good_are_called_client_errors(status: int) -> None:
    log, heard = heard_at(logging.DEBUG)
    CallRecords(log, query(), ApiVersion.V2).refused_for_good(error("E", status))
    assert heard == []


def test_a_bucket_that_does_not_adapt_is_not_told_about() -> None:
    log, heard = heard_at(logging.DEBUG)
    config = RateLimitConfig(adaptive_enabled=False)
    CallRecords(log, query(), ApiVersion.V2).rate(RateLimiter(config, wall_clock=lambda: 0.0))
    assert heard == []


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
    assert ACCESS[:4] not in shown([record for record in heard if record.getMessage().startswith("post/")])


# --- never in the way -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [{Field.TITLE: 1}, {(1, 2): 1}, {"x": {1, 2}}, {"x": object()}, [{"a": 1}], {"x": float("nan")}, "text", {}],
)
def test_parameters_of_any_kind_can_be_told(params: Any) -> None:
    assert len(told(params)) == 17


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[1]", b'{"a": ' * 900])
def test_answers_of_any_kind_can_be_told(body: bytes) -> None:
    assert len(told(body=body)) == 17


def test_answers_of_any_depth_can_be_told() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    heard = told(payload={"result": deep, "time": deep})
    assert "too deep" in named(heard, "post/response")["result"]


def test_when_nobody_hears_nothing_is_collected() -> None:
    log, heard = heard_at(logging.CRITICAL)
    params, payload = Watched(), Watched()
    tell_everything(CallRecords(log, query(params=params), ApiVersion.V2), payload)
    assert (heard, params.looks, payload.looks) == ([], 0, 0)


def test_when_somebody_hears_the_same_watchers_are_looked_into() -> None:
    params, payload = Watched(), Watched()
    told(params, payload)
    assert params.looks > 0
    assert payload.looks > 0
