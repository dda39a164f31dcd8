"""What the reference was recorded doing wrong, on the same answers: each check says what we do, and by which rule."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from b24oauth import B24OAuth, B24OAuthSecret
from tests.conformance.adapter import snake, to_params
from tests.conformance.server import each_text, scripted
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
}


def extended(name: str) -> dict[str, Any]:
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
    # A busy machine takes real milliseconds between the calls, and as many off the waits.
    return bool(played.after["waitsMs"] == pytest.approx(milliseconds, abs=200))


def tokens(played: Played) -> list[Any]:
    return [body.get("auth") for body in bodies(played) if "grant_type" not in body]


def middle_failed(played: Played, code: str) -> bool:
    outcome, lost = played.outcome[0], range(50, 100)
    return (
        outcome["data"] == [None if place in lost else place for place in range(101)]
        and errors(outcome) == {str(place): code for place in lost}
        and len(played.requests) == 3
    )


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
        lambda p: bodies(p)[0]["cmd"] == {"a": "a?", "b": "b?"} and fine(p.outcome[0], {"a": 1, "b": 2}),
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
        lambda p: threw(p.outcome[0], "JSSDK_BAD_RESPONSE", status=200) and len(p.requests) == 3,
    ),
    "v2-call-200-json-null-or-list": (
        "an answer that is no object is named as such",
        lambda p: all(threw(one, "JSSDK_BAD_RESPONSE", status=200) for one in p.outcome),
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
        lambda p: (
            paths(p) == ["x.get", "x.get", "token", "x.get", "x.get"]
            and tokens(p) == ["access-1", "access-1", "access-2", "access-2"]
            and all(fine(one, "fine") for one in p.outcome)
        ),
    ),
    "redact-depth": (
        "T12: masked at any depth",
        lambda p: (
            p.outcome[0]["value"]["a"]["b"]["c"] == {"token": "***REDACTED***"}
            and p.outcome[1]["value"]["cmd"][0]["params"]["deep"] == {"token": "***REDACTED***"}
            and p.outcome[2]["value"]["a"]["b"]["d"] == {"e": "m?token=***REDACTED***"}
        ),
    ),
    "redact-non-maps": (
        "T12: texts and lists are masked too",
        lambda p: [p.outcome[n]["value"] for n in (0, 1)] == ["token=***REDACTED***", [{"token": "***REDACTED***"}]],
    ),
    "limit-v2-and-v3-are-separate": (
        "L1: one bucket",
        lambda p: waited(p, 1000, 1000),
    ),
    "limit-operating-429-waits-twice": ("L4: one wait for one 429", lambda p: waited(p, 6000, 10000)),
    "limit-named-batch-is-not-limited": ("L4: named commands too", lambda p: waited(p, 31000)),
    "limit-batch-stats-are-not-shared-with-calls": ("L4: one budget", lambda p: waited(p, 31000)),
    "list-v2-filter-is-merged": (
        "B1: the caller's own bound is the start of the walk; rows from before it are refused",
        lambda p: bodies(p)[0]["filter"] == {"STAGE_ID": "NEW", ">ID": 1000} and threw(p.outcome[0], "JSSDK_LIST_WALK"),
    ),
    "list-v2-wrong-result-key": (
        "B1: raises, and names the method, the key that was looked for and those that are there",
        lambda p: (
            threw(p.outcome[0], "JSSDK_LIST_WALK", "AjaxError")
            and all(name in p.outcome[0]["throws"]["message"] for name in ("crm.item.list", "`items`", "other"))
        ),
    ),
    "list-v2-result-not-a-list": (
        "B1: known methods need no key, and a complete page needs no identifiers",
        lambda p: fine(p.outcome[0], [{"ID": "1"}, {"ID": "2"}]) and bodies(p)[0]["order"] == {"id": "ASC"},
    ),
    "list-v2-order-and-start-are-ignored": (
        "B1: a walk by identifier refuses an order by another field and a start",
        lambda p: threw(p.outcome[1], "JSSDK_CONFIGURATION") and not p.requests,
    ),
    "list-v3-order-is-ignored": (
        "B1: an order by another field and a page are honoured",
        lambda p: (
            bodies(p)[0]["order"] == {"title": "DESC"} and bodies(p)[0]["pagination"] == {"limit": 7, "offset": 14}
        ),
    ),
    "list-v3-short-first-page-costs-two-requests": (
        "B1: only an empty or a shorter page is the end, since a server may cap pages",
        lambda p: fine(p.outcome[0], [{"id": 1}, {"id": 2}, {"id": 3}]) and len(p.requests) == 2,
    ),
    "list-v3-id-key-mismatch-stops": (
        "B1: rows without the identifier are read on by position",
        lambda p: bodies(p)[1]["pagination"] == {"limit": 50, "offset": 1},
    ),
    "tail-v3-missing-cursor-value": ("B1: raises", lambda p: threw(p.outcome[1], "JSSDK_LIST_WALK")),
    "log-batch-redaction-of-nested-params": (
        "T12: masked",
        lambda p: len(p.after["log"]) > 0 and "LEAK" not in str(p.after["log"]) and "LEAK" in str(bodies(p)),
    ),
    "log-logger-throws": ("a logger harms nothing", lambda p: fine(p.outcome[1], {"ID": "1"}) and len(p.requests) == 1),
    "log-set-after-first-use": (
        "B1: the caller's order is honoured, so there is nothing to warn of",
        lambda p: bodies(p)[1]["order"] == {"ID": "DESC"} and len(p.after["log"]) > 0,
    ),
    "refresh-without-expires-in": ("T8: an hour", lambda p: p.after["authData"]["expires_in"] == 3600),
    "refresh-without-expires": (
        "T8: the lifetime of a received pair is counted from its arrival",
        lambda p: tokens(p) == ["access-2", "access-2"] and paths(p).count("token") == 1,
    ),
    "refresh-answer-already-expired": ("T8: used all the same", lambda p: tokens(p) == ["access-2"]),
    "refresh-answer-with-tokens-only": (
        "what an answer leaves out stays",
        lambda p: (
            {"clientEndpoint": "{ORIGIN}/rest/", "serverEndpoint": "{ORIGIN}/rest/", "scope": "crm,task"}.items()
            <= p.after["callback"][0]["params"].items()
        ),
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
        "T3, T10: nothing uses a pair that is not saved; saving is tried again, the renewal is not repeated",
        lambda p: (
            all(threw(one, "JSSDK_TOKEN_PERSISTENCE") for one in p.outcome[1:])
            and paths(p) == ["token"]
            and len(p.after["callback"]) > 1
            and p.after["authData"] is False
        ),
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
    "chunk-v2-errors-without-halt": (
        "B3: a list keeps one place per command",
        lambda p: (
            p.outcome[0]["data"] == [None if n in (3, 50) else n for n in range(52)]
            and errors(p.outcome[0]) == {"3": "E3", "50": "E50"}
        ),
    ),
    "chunk-v2-soft-error-in-the-middle": (
        "B3: a request that fails whole counts for each of its commands",
        lambda p: middle_failed(p, "ERROR_ENTITY_NOT_FOUND"),
    ),
    "chunk-v3-soft-error-in-the-middle": (
        "B3: a request that fails whole counts for each of its commands",
        lambda p: middle_failed(p, "BITRIX_REST_V3_EXCEPTION_INVALIDJSONEXCEPTION"),
    ),
    "batch-v2-errors-string-form": (
        "B3: a list keeps one place per command",
        lambda p: p.outcome[0]["data"] == [1, None, 3] and errors(p.outcome[0]) == {"1": "ERROR_CORE"},
    ),
    "batch-v2-halted": (
        "B3: commands that did not run keep their places",
        lambda p: p.outcome[0]["data"] == [1, None, None, None] and errors(p.outcome[0]) == {"1": "E"},
    ),
    "batch-v2-error-and-result": (
        "B3: a list keeps one place per command",
        lambda p: p.outcome[0]["data"] == [None] and errors(p.outcome[0]) == {"0": "SOME_CODE"},
    ),
    "batch-v2-command-limit-error-is-not-retried": (
        "B3: a list keeps one place per command",
        lambda p: (
            p.outcome[0]["data"] == [None, None]
            and errors(p.outcome[0]) == {"0": "QUERY_LIMIT_EXCEEDED", "1": "expired_token"}
        ),
    ),
    "filter-v3-hand-made-nodes": (
        "conditions that are none are refused before they are sent",
        lambda p: threw(p.outcome[1], "JSSDK_INVALID_PARAMS", status=400),
    ),
    "log-batch": ("B3: a list keeps one place per command", lambda p: p.outcome[1]["data"] == [1, None]),
    "refresh-ignores-domain-and-member": (
        "T13: a pair of another portal is never adopted",
        lambda p: (
            threw(p.outcome[1], "JSSDK_OAUTH_OTHER_PORTAL")
            and p.after["authData"] is False
            and p.after["callback"] == []
        ),
    ),
    "refresh-failure-is-not-remembered": (
        "T6: the caller sees why",
        lambda p: threw(p.outcome[0], "ERR_BAD_RESPONSE", "RefreshTokenError", 502),
    ),
    "refresh-custom-throws": (
        "T6: a call fails as the renewal that it needed",
        lambda p: p.outcome[2] == p.outcome[1] and threw(p.outcome[2], "JSSDK_CUSTOM_REFRESH_FAILED"),
    ),
    "tools-soft-error": ("ping is -1 on any failure", lambda p: [one["value"] for one in p.outcome] == [-1, False]),
}
# Where the rule, on the recorded answers, comes to what the reference does.
KEPT = {"v2-call-result-inside-is-writable", "list-v3-short-first-page-costs-two-requests"}
NEW_ADDRESS = "refresh-new-server-endpoint"
IN_QUESTION = {name for name, vector in VECTORS.items() if {"quirk", "quirkSteps"} & {*vector} or name in ANSWERED}


@pytest.mark.parametrize("name", QUIRKS)
def test_does_better_than_what_was_recorded(name: str) -> None:
    rule, check = QUIRKS[name]
    played = asyncio.run(play(extended(name)))
    assert check(played), (rule, played)


@pytest.mark.parametrize("name", [name for name in QUIRKS if name not in KEPT])
def test_what_was_recorded_does_not_pass_for_better(name: str) -> None:
    _, check = QUIRKS[name]
    vector = VECTORS[name]
    try:
        passed = check(Played(vector["requests"], vector["outcome"], vector["after"]))
    except (KeyError, IndexError):  # it has not even what the check looks at
        passed = False
    assert not passed


def test_the_next_renewal_goes_to_the_server_that_the_last_one_named() -> None:
    old, new = asyncio.run(renewed_twice())
    assert [body["refresh_token"] for body in old] == ["refresh-1"]
    assert [body["refresh_token"] for body in new] == ["refresh-2"]


async def renewed_twice() -> tuple[list[Any], list[Any]]:
    """What the first OAuth server was sent, and what the one that it names was."""
    vector = VECTORS[NEW_ADDRESS]
    naming, answering = vector["responses"]
    async with scripted([answering]) as new, scripted([]) as old:
        old.left.append(each_text(naming, lambda text: text.replace("{ORIGIN}/other", new.origin)))
        params = to_params(each_text(vector["params"], lambda text: text.replace("{ORIGIN}", old.origin)))
        secret = B24OAuthSecret.from_dict({snake(name): value for name, value in vector["secret"].items()})
        hosts = {server.origin.removeprefix("http://") for server in (old, new)}
        async with B24OAuth(params, secret, trusted_oauth_hosts=hosts) as b24:
            await b24.auth.refresh_auth()
            await b24.auth.refresh_auth()
        return [request["body"] for request in old.requests], [request["body"] for request in new.requests]


def test_every_quirk_has_an_answer_and_every_answer_a_quirk() -> None:
    assert {*QUIRKS, NEW_ADDRESS} == IN_QUESTION
