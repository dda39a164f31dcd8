"""Whether a request comes from the portal that it names: its application token, or its access token proved."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

import attrs

from b24oauth.apps.fields import Fields
from b24oauth.errors import InvalidDataError, SdkError
from b24oauth.models import B24OAuthParams, B24OAuthSecret
from b24oauth.observing import Log
from b24oauth.protocol.decoding import RawResponse, parse_json
from b24oauth.protocol.endpoints import oauth_token_url
from b24oauth.shapes import as_mapping
from b24oauth.wire import NoResponse, Wire

__all__ = ["NotGenuineError", "Proof", "Prover", "is_genuine", "no_response"]

# Bitrix24's tokens have 32 letters. What is much longer is not compared.
_LONGEST: Final = 512
_TIMEOUT: Final = 15.0
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
# How long a proof counts, seconds, and how many are remembered.
_REMEMBERED: Final = 300.0
_MOST_REMEMBERED: Final = 10_000
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
_QUERY: Final = {"Accept": "application/json"}


class NotGenuineError(SdkError):
    """A request does not come from the portal that it names, or cannot be shown to."""

    def __init__(self, message: str, *, code: str = "B24OAUTH_NOT_GENUINE") -> None:
        super().__init__(message, code=code, status=403)


def is_genuine(application_token: str, accepted: Iterable[str]) -> bool:
    """True if a request's application token is one of the portal's, compared in constant time.

    Args:
        application_token: Of the request; an empty one is never genuine.
        accepted: The tokens that were stored for the portal, such as `Installation.application_tokens`.
    """
    given = application_token.encode("utf-8", "surrogatepass")
    known = [token.encode("utf-8", "surrogatepass") for token in accepted if token]
    if not given or len(given) > _LONGEST:
        return False
    # All are compared, so that the time tells nothing of which one fits.
    return sum(hmac.compare_digest(given, token) for token in known) > 0


@attrs.frozen(kw_only=True)
class Proof:
    """What the OAuth server says of an access token.

    Attributes:
        member_id: The portal.
        client_endpoint: Its REST root.
        domain: Its domain.
        status: How the portal pays for the application.
        scope: What the application may do.
        user_id: The user who owns the token.
    """

    member_id: str
    client_endpoint: str
    domain: str
    status: str
    scope: tuple[str, ...]
    user_id: int

    def applied_to(self, pair: B24OAuthParams) -> B24OAuthParams:
        """The pair with what was proved in place of what the request claims."""
        return B24OAuthParams.from_dict(
            {
                **pair.to_dict(),
                "member_id": self.member_id,
                "client_endpoint": self.client_endpoint,
                "domain": self.domain,
                "status": self.status,
                "user_id": self.user_id or pair.user_id,
            }
        )


class Prover:
    """Asks the OAuth server who owns an access token. The portal in the request is not asked: it may be a forger's.

    Args:
        wire: Sends the request.
        secret: The application.
        trusted_hosts: The OAuth servers that are known.
        log: Gets a warning when a server does not understand a POST.
    """

    def __init__(self, wire: Wire, secret: B24OAuthSecret, trusted_hosts: frozenset[str], log: Log) -> None:
        self._wire = wire
        self._secret = secret
        self._trusted_hosts = trusted_hosts
        self._log = log
        self._asks_by_get = frozenset[str]()
        # By the hash of the token: pages are opened again and again with the same one.
        self._proved: OrderedDict[bytes, tuple[Proof, float]] = OrderedDict()

    async def prove(self, pair: B24OAuthParams) -> Proof:
        """The proof of an access token.

        Args:
            pair: The pair in a request: the token, the portal that the request names, and the OAuth server, which
                selects one of those that are known.

        Raises:
            NotGenuineError: The token is of another application, or of none.
            UntrustedHostError: The OAuth server is not known; nothing was sent.
            SdkError: The OAuth server does not respond.
        """
        url = oauth_token_url(pair.server_endpoint, self._trusted_hosts).removesuffix("oauth/token/") + "rest/app.info"
        asked, now = f"{url} {pair.access_token}".encode("utf-8", "surrogatepass"), time.monotonic()
        digest = hashlib.sha256(asked).digest()
        known = self._proved.get(digest)
        if known is not None and now - known[1] < _REMEMBERED:
            return known[0]
        try:
            body = await self._asked(url, pair.access_token)
        except NoResponse as failure:
            raise no_response(failure, "The token could not be proved") from None
        result = as_mapping(body.get("result"))
        try:
            fields, install = Fields(result), Fields(result).fields("install")
            proof = Proof(
                member_id=install.text("member_id"),
                client_endpoint=install.text("client_endpoint"),
                domain=install.text("domain"),
                status=install.text("status"),
                scope=fields.names("scope"),
                user_id=fields.number("user_id"),
            )
            client_id = fields.text("client_id")
        except InvalidDataError as error:
            problem = error.message
            raise NotGenuineError(f"The OAuth server describes the token in an unknown way: {problem}") from None
        if client_id != self._secret.client_id:
            raise NotGenuineError("The access token is of another application")
        self._proved[digest] = proof, now
        if len(self._proved) > _MOST_REMEMBERED:
            self._proved.popitem(last=False)
        return proof

    async def _asked(self, url: str, access_token: str) -> Mapping[str, Any]:
        form = f"auth={quote(access_token, safe='')}"
        if url not in self._asks_by_get:
            answer = await self._wire.send("POST", url, form.encode(), _FORM, timeout=_TIMEOUT)
            body = as_mapping(parse_json(answer.body))
            if not _is_about_something_else(answer, body):
                return _checked(answer, body)
            self._asks_by_get |= {url}
            self._log.warning("The OAuth server does not take app.info by POST; it is asked by GET, token in the query")
        answer = await self._wire.send_silently("GET", f"{url}?{form}", None, _QUERY)
        return _checked(answer, as_mapping(parse_json(answer.body)))


def _checked(answer: RawResponse, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The response, if it is about the token.

    Raises:
        NotGenuineError: The server refuses the token.
        SdkError: The server is in trouble: nothing is known about the token.
    """
    if _is_in_trouble(answer) or not body:
        message = f"The OAuth server could not answer (HTTP {answer.status}). The token could not be proved"
        raise SdkError(message, code="B24OAUTH_NO_RESPONSE")
    if "error" in body:
        raise NotGenuineError(f"The OAuth server refuses the access token: {str(body['error'])[:_LONGEST]}")
    return body


def no_response(failure: NoResponse, consequence: str) -> SdkError:
    """The error for a request that the OAuth server did not respond to.

    Args:
        failure: What the wire says.
        consequence: Ends the message: what that means.
    """
    message = f"The OAuth server did not respond: {failure.reason}. {consequence}"
    return SdkError(message, code="B24OAUTH_NO_RESPONSE")


def _is_about_something_else(answer: RawResponse, body: Mapping[str, Any]) -> bool:
    """True if the server has not looked at the token."""
    if _is_in_trouble(answer):
        return False
    # A page of HTML has no body that can be read.
    return answer.status in (404, 405) or not body or body.get("error") == "ERROR_METHOD_NOT_FOUND"


def _is_in_trouble(answer: RawResponse) -> bool:
    return answer.status == _TOO_MANY or answer.status >= _SERVER_ERROR
