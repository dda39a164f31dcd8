"""Answers that v3 repeats for a request with the same `Idempotency-Key`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs

from b24oauth.testing.messages import Answer, Call, RestError

__all__ = ["IdempotentAnswers"]

_KEPT = 24 * 3600.0
_REUSED = "BITRIX_REST_V3_EXCEPTION_IDEMPOTENCYKEYREUSEDEXCEPTION"
_INVALID = "BITRIX_REST_V3_EXCEPTION_INVALIDIDEMPOTENCYKEYEXCEPTION"

_Place = tuple[str, int, str]


@attrs.frozen(kw_only=True)
class _Kept:
    body: str
    answer: Answer
    until: float


@attrs.define(eq=False, kw_only=True)
class IdempotentAnswers:
    """The successful answers of the last 24 hours, by method, user and key.

    Attributes:
        now: The Unix time, seconds.
    """

    now: Callable[[], float]
    _kept: dict[_Place, _Kept] = attrs.field(init=False, factory=dict[_Place, _Kept])

    def find(self, call: Call, key: str, params: Any) -> Answer | None:
        """The answer to repeat, or None when the call is to be run.

        Raises:
            RestError: 422: the key was used with another body; 400: it is not 1 to 255 printable ASCII characters.
        """
        if not (len(key) <= 255 and key.isascii() and key.isprintable()):
            raise RestError(_INVALID, "Idempotency-Key must be 1 to 255 printable ASCII characters.")
        kept = self._kept.get((call.method, call.user_id, key))
        if kept is None or self.now() >= kept.until:
            return None
        if kept.body != _fingerprint(params):
            raise RestError(_REUSED, "The key was used with another body.", status=422)
        return attrs.evolve(kept.answer, headers=(*kept.answer.headers, ("idempotent-replayed", "true")))

    def keep(self, call: Call, key: str, params: Any, answer: Answer) -> None:
        """Remembers a successful answer."""
        kept = _Kept(body=_fingerprint(params), answer=answer, until=self.now() + _KEPT)
        self._kept[call.method, call.user_id, key] = kept


def _fingerprint(params: Any) -> str:
    return json.dumps(params, sort_keys=True)
