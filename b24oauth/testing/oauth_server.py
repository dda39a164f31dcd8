"""The OAuth server's side of the fake portal: the token endpoint and the authorization page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import attrs

from b24oauth.models import B24OAuthSecret
from b24oauth.testing.brackets import parse_query
from b24oauth.testing.messages import Answer, Exchange, RestError, dumps
from b24oauth.testing.payment import Payment
from b24oauth.testing.tokens import Grant, TokenBook
from b24oauth.testing.web_pages import login_answer

__all__ = ["Addresses", "OAuthServer"]

_SECRET_FIELDS = frozenset({"client_secret", "refresh_token", "code", "auth", "access_token"})


@attrs.define(eq=False, kw_only=True)
class Addresses:
    """Where portal and OAuth server are reached at present; a rename or a loopback server changes it.

    Attributes:
        portal: Origin of the portal.
        oauth: Origin of the OAuth server.
        former: Hosts at which the portal was reached before.
    """

    portal: str
    oauth: str
    former: set[str] = attrs.field(factory=set[str])


@attrs.define(eq=False, kw_only=True)
class OAuthServer:
    """Answers token requests and authorizations.

    Attributes:
        tokens: The tokens that exist.
        secret: The application that is known.
        payment: How it is paid for.
        is_installed: Tells whether its installation was finished.
        addresses: Where the portal is reached.
        member_id: The portal's identifier.
        scope: What the application may do.
        redirect_uri: Where the application takes authorization codes.
        user_id: The user who authorizes without being asked.
        users: ID and name of the users of whom a login page asks for one; empty authorizes `user_id` at once.
    """

    tokens: TokenBook
    secret: B24OAuthSecret
    payment: Payment
    is_installed: Callable[[], bool]
    addresses: Addresses
    member_id: str
    scope: str
    redirect_uri: str
    user_id: int = 1
    users: list[tuple[int, str]] = attrs.field(factory=list[tuple[int, str]])

    def token(self, exchange: Exchange) -> Answer:
        """Answers one request to the token endpoint.

        Source: https://apidocs.bitrix24.com/settings/oauth/index.html
        """
        params = parse_query(exchange.request.query)
        if exchange.request.http_method == "POST":
            params |= parse_query(exchange.request.body.decode("utf-8", "replace"))
        exchange.params = masked(params)
        exchange.token = self.tokens.label(_text(params, "refresh_token"))
        try:
            grant = self._grant(params)
        except RestError as error:
            body = {"error": error.code, "error_description": error.text}
            return Answer(status=error.status, body=dumps(body))
        return Answer(status=200, body=dumps(self._answer(grant, params)))

    def is_at(self, host: str) -> bool:
        """True for the OAuth server's own host; a portal on loopback shares it with its OAuth server."""
        return host == urlsplit(self.addresses.oauth).netloc

    def app_info(self, exchange: Exchange) -> Answer:
        """Tells whose an access token is."""
        params = parse_query(exchange.request.query)
        if exchange.request.http_method == "POST":
            params |= parse_query(exchange.request.body.decode("utf-8", "replace"))
        exchange.params = masked(params)
        token = _text(params, "auth")
        exchange.token = self.tokens.label(token)
        try:
            session = self.tokens.session(token)
            self.payment.check(status=401)
        except RestError as error:
            body = {"error": error.code, "error_description": error.text}
            return Answer(status=error.status, body=dumps(body))
        client_endpoint = self.addresses.portal + "/rest/"
        install = {
            "installed": self.is_installed(), "version": "1", "status": self.payment.status, "scope": self.scope,
            "uri": "",
            "domain": urlsplit(self.addresses.portal).netloc, "client_endpoint": client_endpoint,
            "member_id": self.member_id, "member_type": "portal",
        }  # fmt: skip
        expires = datetime.fromtimestamp(session.expires, UTC).isoformat(timespec="seconds")
        result = {
            "client_id": self.secret.client_id, "scope": self.scope, "expires": expires,
            "user_id": str(session.user_id), "install": install,
        }  # fmt: skip
        return Answer(status=200, body=dumps({"result": result}))

    def authorize(self, exchange: Exchange) -> Answer:
        """Asks who logs in, if there is somebody to be asked, and sends the browser back with a code."""
        params = parse_query(exchange.request.query)
        exchange.params = masked(params)
        if _text(params, "client_id") != self.secret.client_id:
            body = {"error": "invalid_client", "error_description": "The application is not known"}
            return Answer(status=401, body=dumps(body))
        user_id = self.user_id
        if self.users:
            given = _text(parse_query(exchange.request.body.decode("utf-8", "replace")), "user_id")
            if exchange.request.http_method != "POST" or given not in {str(one) for one, _ in self.users}:
                return login_answer(self.secret.client_id, self.users)
            user_id = int(given)
        query = urlencode(self._code_query(_text(params, "state"), user_id))
        return Answer(status=302, body=b"", headers=(("location", f"{self.redirect_uri}?{query}"),))

    def _code_query(self, state: str, user_id: int) -> dict[str, str]:
        return {
            "code": self.tokens.issue_code(user_id),
            "state": state,
            "domain": urlsplit(self.addresses.portal).netloc,
            "member_id": self.member_id,
            "scope": self.scope,
            "server_domain": urlsplit(self.addresses.oauth).netloc,
        }

    def _grant(self, params: Mapping[str, Any]) -> Grant:
        known = (self.secret.client_id, self.secret.client_secret)
        if (_text(params, "client_id"), _text(params, "client_secret")) != known:
            raise RestError("invalid_client", "The application is not known or its secret is wrong", status=401)
        grants: dict[str, tuple[str, Callable[[str], Grant]]] = {
            "refresh_token": ("refresh_token", self.tokens.renew),
            "authorization_code": ("code", self.tokens.redeem),
        }
        field, redeem = grants.get(_text(params, "grant_type"), ("", None))
        if redeem is None or not _text(params, field):
            raise RestError("invalid_request", "grant_type or what it needs is missing")
        self.payment.check(status=400)
        return redeem(_text(params, field))

    def _answer(self, grant: Grant, params: Mapping[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "access_token": grant.access_token,
            "refresh_token": grant.refresh_token,
            "expires_in": int(self.tokens.lifetime),
            "scope": self.scope,
            "domain": urlsplit(self.addresses.oauth).netloc,
            "server_endpoint": self.addresses.oauth + "/rest/",
            "status": self.payment.status,
            "client_endpoint": self.addresses.portal + "/rest/",
            "member_id": self.member_id,
        }
        if params["grant_type"] == "refresh_token":
            answer |= {"expires": grant.expires, "user_id": grant.user_id}
        return answer


def masked(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with secrets replaced, for records."""
    return {name: "***" if name in _SECRET_FIELDS else value for name, value in params.items()}


def _text(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    return value if isinstance(value, str) else ""
