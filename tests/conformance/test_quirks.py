"""What the reference was recorded doing wrong, on the same answers: each check says what we do, and by which rule."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.server import each_text
from tests.conformance.test_recordings import ANSWERED, Played, play, recordings

VECTORS = {vector["id"]: vector for vector in recordings()}
Check = Callable[[Played], bool]

FINE = {"json": {"result": "fine", "time": {"start": 1, "finish": 2, "duration": 1}}}
PAIR = VECTORS["refresh-failure-is-not-remembered"]["responses"][1]
# Where we ask for more than the reference did, the recording has no answer.
FURTHER_ANSWERS: dict[str, list[dict[str, Any]]] = {
    "chunk-v2-named-is-not-supported": [{"json": {"result": {"result": {"a": 1, "b": 2}}, "time": {}}}],
    "v2-call-200-html": VECTORS["v2-call-200-html"]["responses"] * 2,
    "v2-200-with-rate-limit-or-token-error": [PAIR, FINE, FINE],
}
CHANGES: dict[str, dict[str, Any]] = {
    # A repeat would take the answer that was recorded for the next step.
    "v2-call-200-json-null-or-list": {"restriction": {"maxRetries": 1}},
    # On the recorded host both token addresses would be the same.
    "refresh-new-server-endpoint": each_text(
        {"responses": VECTORS["refresh-new-server-endpoint"]["responses"]},
        lambda text: text.replace("{ORIGIN}/other", "https://elsewhere.example"),
    ),
}


def in_question(name: str) -> dict[str, Any]:
    """The recording, with what it lacks for us."""
    changed = VECTORS[name] | CHANGES.get(name, {})
    return changed | {"responses": changed["responses"] + FURTHER_ANSWERS.get(name, [])}


def bodies(played: Played) -> list[Any]:
    return [request["body"] for request in played.requests]


def paths(played: Played) -> list[str]:
    return [request["path"].rpartition("/")[2] or "token" for request in played.requests]


def threw(outcome: Any, code: str | None = None, kind: str | None = None, status: int | None = None) -> bool:
    error = outcome.get("throws", {})
    wanted = {"code": code, "class": kind, "status": status}
    return bool(error) and all(value is None or error.get(name) == value for name, value in wanted.items())


def fine(outcome: Any, data: Any = None) -> bool:
    return outcome["isSuccess"] and (data is None or outcome["data"] == data or outcome["data"].get("result") == data)


def errors(outcome: Any) -> dict[str, str]:
    return {key: error["code"] for key, error in outcome["errors"].items()}


def waited(played: Played, *milliseconds: float) -> bool:
    return bool(played.after["waitsMs"] == pytest.approx(milliseconds, rel=0.01))


def tokens(played: Played) -> list[Any]:
    return [body.get("auth") for body in bodies(played) if "grant_type" not in body]


QUIRKS: dict[str, tuple[str, Check]] = {
    "chunk-v2-error-keys-collide": (
        "B3: each failure is under its position in the caller's list",
        lambda p: errors(p.outcome[0]) == {"0": "E0", "50": "E50"} and p.outcome[0]["data"][51] == 51,
    ),
    "chunk-v2-call-error-loses-earlier-chunks": (
        "B3: a request that fails whole hides no result of the others",
        lambda p: p.outcome[0]["data"][:50] == list(range(50)) and errors(p.outcome[0]) == {"50": "insufficient_scope"},
    ),
    "chunk-v2-named-is-not-supported": (
        "B3: named commands work in any number",
        lambda p: bodies(p)[0]["cmd"] == {"a": "a?", "b": "b?"},
    ),
    "batch-v2-cmd-extreme-numbers": (
        "values: a float is written in its shortest form",
        lambda p: bodies(p)[0]["cmd"] == ["m?big=1e%2B21&small=1e-07&mid=123456789012&neg=-1e-06"],
    ),
    "batch-v2-row-is-more": (
        "B3: only the row that has a next page says so",
        lambda p: p.outcome[1]["value"] == {"a": True, "b": False},
    ),
    "batch-v2-missing-row-with-halt": (
        "B3: a command that is left out is an error",
        lambda p: threw(p.outcome[0], "JSSDK_INTERACTION_BATCH_STRATEGY_V2_EMPTY_COMMAND_RESPONSE"),
    ),
    "batch-v2-as-only-on-the-first": (
        "B3: what would lose a command is refused before it is sent",
        lambda p: threw(p.outcome[0], "JSSDK_INVALID_PARAMS") and not p.requests,
    ),
    "batch-v2-as-twice-the-same": (
        "B3: what would lose a command is refused before it is sent",
        lambda p: threw(p.outcome[0], "JSSDK_INVALID_PARAMS") and not p.requests,
    ),
    "batch-v3-named-as-overrides-the-name": (
        "B3: results are under the caller's names",
        lambda p: p.outcome[0]["data"] == {"first": 1},
    ),
    "v2-call-data-start-is-stripped": (
        "parameters are sent as given",
        lambda p: bodies(p)[0]["data"] == {"start": 5, "keep": 1},
    ),
    "v2-call-time-null": ("a success may come without times", lambda p: fine(p.outcome[0], 1)),
    "v2-call-200-html": (
        "L5: an answer that is no answer is asked for again when that does no harm, and named",
        lambda p: threw(p.outcome[0]) and len(p.requests) == 3,
    ),
    "v2-call-200-json-null-or-list": (
        "an answer that is no object is named as such",
        lambda p: threw(p.outcome[0], "JSSDK_BAD_RESPONSE", status=200),
    ),
    "v2-call-result-inside-is-writable": (
        "a result belongs to the caller",
        lambda p: p.outcome[1]["value"]["result"] == {"a": "changed"},
    ),
    "v2-call-big-integers": ("numbers keep their digits", lambda p: fine(p.outcome[0], {"id": 9007199254740993})),
    "v2-error-numeric-code": (
        "a numeric code is a code, and keeps its text",
        lambda p: (
            p.outcome[0]["throws"]
            == {"class": "AjaxError", "code": "1048582", "status": 400, "message": "Action is not available"}
        ),
    ),
    "v2-error-overload-limit-on-503": (
        "a manual block is never repeated",
        lambda p: threw(p.outcome[0], "OVERLOAD_LIMIT", status=503) and len(p.requests) == 1,
    ),
    "v2-drop-is-retried": (
        "a lost answer is a network error",
        lambda p: threw(p.outcome[0], "NETWORK_ERROR", status=0) and len(p.requests) == 3,
    ),
    "v2-connection-refused": (
        "no connection is a network error",
        lambda p: threw(p.outcome[0], "NETWORK_ERROR", status=0),
    ),
    "v2-200-with-rate-limit-or-token-error": (
        "L5, T5: what was refused inside of a 200 is repeated",
        lambda p: paths(p)[:3] == ["x.get", "x.get", "token"],
    ),
    "redact-depth": (
        "T12: masked at any depth",
        lambda p: p.outcome[0]["value"]["a"]["b"]["c"] == {"token": "***REDACTED***"},
    ),
    "redact-non-maps": (
        "T12: texts and lists are masked too",
        lambda p: [p.outcome[n]["value"] for n in (0, 1)] == ["token=***REDACTED***", [{"token": "***REDACTED***"}]],
    ),
    "limit-v2-and-v3-are-separate": (
        "L1: one bucket",
        lambda p: [round(wait, -2) for wait in p.after["waitsMs"]] == [1000, 1000],
    ),
    "limit-operating-429-waits-twice": ("L4: one wait for one 429", lambda p: p.after["waitsMs"] == [6000, 10000]),
    "limit-named-batch-is-not-limited": ("L4: named commands too", lambda p: p.after["waitsMs"] == [31000]),
    "limit-batch-stats-are-not-shared-with-calls": ("L4: one budget", lambda p: p.after["waitsMs"] == [31000]),
    "list-v2-filter-is-merged": (
        "B1: the caller's own bound is the start of the walk",
        lambda p: bodies(p)[0]["filter"] == {"STAGE_ID": "NEW", ">ID": 1000},
    ),
    "list-v2-wrong-result-key": ("B1: named", lambda p: threw(p.outcome[0], "JSSDK_LIST_WALK", "AjaxError")),
    "list-v2-result-not-a-list": (
        "B1: known methods need no key; their identifier is not the one that was recorded",
        lambda p: threw(p.outcome[0], "JSSDK_LIST_WALK", "AjaxError") and bodies(p)[0]["order"] == {"id": "ASC"},
    ),
    "list-v3-short-first-page-costs-two-requests": (
        "B1: only an empty or a shorter page is the end, since a server may cap pages",
        lambda p: len(p.outcome[0]["data"]) == 3 and len(p.requests) == 2,
    ),
    "list-v3-id-key-mismatch-stops": ("B1: raises", lambda p: threw(p.outcome[1], "JSSDK_LIST_WALK")),
    "tail-v3-missing-cursor-value": ("B1: raises", lambda p: threw(p.outcome[1], "JSSDK_LIST_WALK")),
    "log-batch-redaction-of-nested-params": ("T12: masked", lambda p: "LEAK" not in str(p.after["log"])),
    "log-logger-throws": ("a logger harms nothing", lambda p: fine(p.outcome[1], {"ID": "1"}) and len(p.requests) == 1),
    "log-set-after-first-use": (
        "a logger set later reaches every part",
        lambda p: any(one["level"] == "warning" and "`order`" in one["message"] for one in p.after["log"]),
    ),
    "refresh-without-expires-in": ("T8: an hour", lambda p: p.after["authData"]["expires_in"] == 3600),
    "refresh-without-expires": (
        "T8: the lifetime of a received pair is counted from its arrival",
        lambda p: tokens(p) == ["access-2", "access-2"] and paths(p).count("token") == 1,
    ),
    "refresh-answer-already-expired": ("T8: used all the same", lambda p: tokens(p) == ["access-2"]),
    "refresh-new-server-endpoint": ("a new server endpoint takes effect", lambda p: paths(p) == ["token", "token"]),
    "refresh-answer-with-tokens-only": (
        "what an answer leaves out stays",
        lambda p: p.after["callback"][0]["params"]["clientEndpoint"] == "{ORIGIN}/rest/",
    ),
    "refresh-fails-200-with-error": (
        "T6: a refusal is a RefreshTokenError",
        lambda p: threw(p.outcome[0], "invalid_grant", "RefreshTokenError", 200),
    ),
    "refresh-200-html-destroys-tokens": (
        "an answer that is no pair never overwrites the pair",
        lambda p: (
            threw(p.outcome[1]) and bodies(p)[1]["refresh_token"] == "refresh-1" and len(p.after["callback"]) == 1
        ),
    ),
    "refresh-fails-inside-call": (
        "T6: the caller sees why",
        lambda p: threw(p.outcome[0], "invalid_grant", "RefreshTokenError", 400),
    ),
    "refresh-fails-after-401": (
        "T6: the caller sees why",
        lambda p: threw(p.outcome[0], "invalid_client", "RefreshTokenError", 401),
    ),
    "refresh-callback-throws": (
        "T3, T10: nothing uses a pair that is not saved; the renewal is not repeated",
        lambda p: all(threw(one, "JSSDK_TOKEN_PERSISTENCE") for one in p.outcome[1:]) and paths(p) == ["token"],
    ),
    "refresh-callback-shares-live-params": (
        "the callback sees a copy",
        lambda p: tokens(p) == ["access-2", "access-2"],
    ),
    "refresh-server-endpoint-without-slash": (
        "the token address is on the OAuth server's origin",
        lambda p: p.requests[0]["path"] == "/oauth/token/",
    ),
    "refresh-v2-and-v3-concurrent": (
        "T1: one renewal",
        lambda p: paths(p).count("token") == 1 and tokens(p) == ["access-2"] * 2,
    ),
    "refresh-late-401-refreshes-again": ("T4: renews nothing", lambda p: paths(p).count("token") == 1),
    "refresh-concurrent-failure-reaches-all": (
        "T6: each sees why",
        lambda p: all(threw(one, "ERR_BAD_RESPONSE", "RefreshTokenError", 502) for one in p.outcome[0]["concurrent"]),
    ),
    "tools-soft-error": ("ping is -1 on any failure", lambda p: [one["value"] for one in p.outcome] == [-1, False]),
}
IN_QUESTION = [name for name, vector in VECTORS.items() if "quirk" in vector or name in ANSWERED]


@pytest.mark.parametrize("name", IN_QUESTION)
def test_does_better_than_what_was_recorded(name: str) -> None:
    rule, check = QUIRKS[name]
    played = asyncio.run(play(VECTORS[name]))
    assert check(played), (rule, played)


def test_every_quirk_has_an_answer_and_every_answer_a_quirk() -> None:
    assert set(QUIRKS) == set(IN_QUESTION)
