"""What a run of the renewal ends with: a pair, a refusal, or a pair that could not be saved."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from b24oauth.errors import TokenPersistenceError
from b24oauth.models import B24OAuthParams
from b24oauth.oauth.exchange import Refusal

__all__ = ["NotSaved", "Outcome"]


@attrs.frozen
class NotSaved:
    """A renewed pair that the store or the callback did not take."""

    message: str
    cause: BaseException | None = None

    def error(self) -> TokenPersistenceError:
        """A new error object that says it."""
        error = TokenPersistenceError(self.message)
        error.__cause__ = self.cause
        return error


Outcome: TypeAlias = B24OAuthParams | Refusal | NotSaved
