"""The tokens that the fake portal has issued: who holds which, until when, and what has been used up."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from math import inf

import attrs

from b24oauth.models import B24OAuthSecret
from b24oauth.testing.messages import RestError

__all__ = ["Grant", "Session", "TokenBook", "make_secret"]

CODE_LIFETIME = 30.0


def make_secret() -> B24OAuthSecret:
    """The application that a fake portal knows by default."""
    return B24OAuthSecret(client_id="local.fake.12345678", client_secret=_digest("client secret"))


@attrs.define(eq=False, kw_only=True)
class Session:
    """What the portal knows of one access token: its label, whose it is, and until when it is good."""

    label: str
    user_id: int
    expires: float


@attrs.frozen(kw_only=True)
class Grant:
    """A pair as it is handed out: the tokens, their user, and when the access token expires (Unix seconds)."""

    access_token: str
    refresh_token: str
    user_id: int
    expires: int


@attrs.define(eq=False, kw_only=True)
class _Refresh:
    label: str
    user_id: int
    used: bool = False


@attrs.define(eq=False, kw_only=True)
class TokenBook:
    """Issues tokens and tells good ones from bad ones.

    Attributes:
        now: The Unix time, seconds.
        lifetime: Lifetime of an access token, seconds.
        single_use: Whether a refresh token is good for one renewal only.
        realm: Portals of one OAuth server have tokens that differ by it.
        earlier: How many pairs an earlier run may have issued, which counted from 1 as this one does. Their refresh
            tokens are good; that of the last pair of the run is the one that a program has stored.
    """

    now: Callable[[], float]
    lifetime: float
    single_use: bool
    realm: str = ""
    earlier: int = 0
    _count: int = attrs.field(init=False, default=0)
    _codes_count: int = attrs.field(init=False, default=0)
    _sessions: dict[str, Session] = attrs.field(init=False, factory=dict[str, Session])
    _refreshes: dict[str, _Refresh] = attrs.field(init=False, factory=dict[str, _Refresh])
    _webhooks: dict[tuple[int, str], Session] = attrs.field(init=False, factory=dict[tuple[int, str], Session])
    _codes: dict[str, tuple[float, int]] = attrs.field(init=False, factory=dict[str, tuple[float, int]])

    def issue(self, user_id: int, *, expired: bool = False) -> Grant:
        """A new pair for a user; `expired` makes an access token whose time is over."""
        self._count += 1
        expires = self.now() + (-1 if expired else self.lifetime)
        access, refresh = self._mint("access"), self._mint("refresh")
        self._sessions[access] = Session(label=f"access-{self._count}", user_id=user_id, expires=expires)
        self._refreshes[refresh] = _Refresh(label=f"refresh-{self._count}", user_id=user_id)
        return Grant(access_token=access, refresh_token=refresh, user_id=user_id, expires=int(expires))

    def issue_code(self, user_id: int) -> str:
        """An authorization code, good once and for 30 seconds."""
        self._codes_count += 1
        code = self._mint(f"code-{self._codes_count}")
        self._codes[code] = (self.now() + CODE_LIFETIME, user_id)
        return code

    def session(self, access_token: str | None) -> Session:
        """The session of an access token.

        Raises:
            RestError: 401 `NO_AUTH_FOUND`, `invalid_token` or `expired_token`.
        """
        if not access_token:
            raise RestError("NO_AUTH_FOUND", "Wrong authorization data", status=401)
        session = self._sessions.get(access_token)
        if session is None:
            raise RestError("invalid_token", "Unable to get application by token", status=401)
        if self.now() >= session.expires:
            raise RestError("expired_token", "The access token provided has expired.", status=401)
        return session

    def issue_webhook(self, user_id: int) -> str:
        """The code of a new inbound webhook of a user."""
        code = self._mint(f"webhook-{len(self._webhooks)}").replace(".", "").lower()
        self._webhooks[user_id, code] = Session(label="webhook", user_id=user_id, expires=inf)
        return code

    def webhook_session(self, user_id: int, code: str) -> Session:
        """The session of an inbound webhook.

        Raises:
            RestError: 401 `INVALID_CREDENTIALS`: there is no such webhook.
        """
        session = self._webhooks.get((user_id, code))
        if session is None:
            raise RestError("INVALID_CREDENTIALS", "Invalid request credentials", status=401)
        return session

    def renew(self, refresh_token: str) -> Grant:
        """A new pair for a refresh token.

        Raises:
            RestError: 400 `invalid_grant`: unknown, revoked, or used before.
        """
        refresh = self._refreshes.get(refresh_token) or self._of_earlier_run(refresh_token)
        if refresh is None or (refresh.used and self.single_use):
            raise RestError("invalid_grant", "The refresh token is not valid")
        refresh.used = True
        return self.issue(refresh.user_id)

    def redeem(self, code: str) -> Grant:
        """A pair for an authorization code.

        Raises:
            RestError: 400 `invalid_grant`: unknown, used before, or too old.
        """
        until, user_id = self._codes.pop(code, (0.0, 0))
        if self.now() >= until:
            raise RestError("invalid_grant", "The authorization code is not valid")
        return self.issue(user_id)

    def expire_all(self) -> None:
        """Lets every access token expire now; their refresh tokens stay good."""
        for session in self._sessions.values():
            session.expires = min(session.expires, self.now())

    def revoke(self, refresh_token: str) -> None:
        """Makes one refresh token void.

        Raises:
            KeyError: The portal never issued it, or it was revoked before.
        """
        if self._refreshes.pop(refresh_token, None) is None:
            raise KeyError("revoke: this portal did not issue that refresh token, or it is revoked already")

    def revoke_all(self) -> None:
        """Makes every refresh token void."""
        self._refreshes.clear()

    def knows(self, token: str) -> bool:
        """True for a token or a code that was issued here."""
        return token in self._sessions or token in self._refreshes or token in self._codes

    def kill(self) -> None:
        """Makes every token and code of the application void; webhooks stay."""
        self._sessions.clear()
        self._refreshes.clear()
        self._codes.clear()

    def label(self, token: str | None) -> str | None:
        """The label of any token for records; `unknown` for one that was not issued here."""
        if not token:
            return None
        known = self._sessions.get(token) or self._refreshes.get(token)
        return known.label if known else "unknown"

    def _of_earlier_run(self, refresh_token: str) -> _Refresh | None:
        for number in range(self._count + 1, self.earlier + 1):
            if refresh_token == _digest(f"{self.realm}refresh {number}"):
                # Later pairs have later numbers, as if the run had gone on.
                self._count = number
                return _Refresh(label=f"refresh-{number}", user_id=1)
        return None

    def _mint(self, kind: str) -> str:
        return _digest(f"{self.realm}{kind} {self._count}")


def _digest(text: str) -> str:
    # The same in every run, so that a failing test can be repeated, and like nothing else in a log.
    return hashlib.sha256(text.encode()).hexdigest()
