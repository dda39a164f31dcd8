"""Authorization by a code: the address of the page, a signed state, and the exchange of the code."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

from b24oauth.apps.requests import CodeReturned
from b24oauth.apps.signing import Signer
from b24oauth.apps.verifying import NotGenuineError, no_response
from b24oauth.errors import ConfigurationError, RefreshTokenError, StoreConflictError
from b24oauth.models import B24OAuthParams, B24OAuthSecret
from b24oauth.protocol.decoding import parse_json
from b24oauth.protocol.endpoints import oauth_token_url
from b24oauth.shapes import is_mapping
from b24oauth.stores.memory import MemoryStore
from b24oauth.storing import ValueKey, ValueStore
from b24oauth.wire import NoResponse, Wire

__all__ = ["Authorizer"]

# How long a user may take on the authorization page, seconds.
_STATE_LIFETIME: Final = 900
# Used states belong to no portal.
_NO_PORTAL: Final = "-"
_TIMEOUT: Final = 25.0
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?", re.ASCII)
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


class Authorizer:
    """Leads a user through the authorization page of the user's portal.

    Args:
        wire: Sends the request.
        secret: The application.
        trusted_hosts: The OAuth servers that are known.
        key: Signs states; all processes must have the same.
        clock: Unix timestamp, seconds.
        values: Remembers used states for all processes; None remembers them in this process only.
    """

    def __init__(
        self,
        wire: Wire,
        secret: B24OAuthSecret,
        trusted_hosts: frozenset[str],
        key: str,
        clock: Callable[[], float],
        *,
        values: ValueStore | None = None,
    ) -> None:
        self._wire = wire
        self._secret = secret
        self._trusted_hosts = trusted_hosts
        self._signer = Signer(key, "state of the authorization", clock)
        self._clock = clock
        self._values: ValueStore = MemoryStore() if values is None else values

    def url(self, domain: str, session: str) -> str:
        """The address of the authorization page.

        Args:
            domain: The portal, as the user has typed it: a host, without a scheme or a path.
            session: Identifies the browser's session, for example a random value in a cookie.

        Raises:
            ConfigurationError: `domain` is no host, or `session` is empty.
        """
        domain = domain.strip().lower()
        if domain not in self._trusted_hosts and (not _HOST.fullmatch(domain) or "." not in domain):
            raise ConfigurationError("domain must be the host of a portal, for example example.bitrix24.com")
        if not session:
            raise ConfigurationError("session must identify the browser's session")
        nonce = {"n": secrets.token_urlsafe(12)}
        state = self._signer.sign(nonce, lifetime=_STATE_LIFETIME, bound_to=session)
        query = urlencode({"client_id": self._secret.client_id, "state": state})
        return f"{self._origin(domain)}/oauth/authorize/?{query}"

    async def exchange(self, returned: CodeReturned, session: str) -> B24OAuthParams:
        """The pair for a code; the code is sent once.

        Args:
            returned: What the browser brought back.
            session: Of the browser.

        Raises:
            NotGenuineError: The state is forged, used, too old, or of another session.
            UntrustedHostError: The OAuth server is not known; nothing was sent.
            RefreshTokenError: The OAuth server refused the code.
            SdkError: The OAuth server did not respond. The code may be used up: let the user authorize again.
            StoreError: The state cannot be read from the store.
        """
        await self._check(returned.state, session)
        server = returned.server_domain or "oauth.bitrix.info"
        url = oauth_token_url(f"{self._origin(server)}/rest/", self._trusted_hosts)
        form = {
            "grant_type": "authorization_code",
            "client_id": self._secret.client_id,
            "client_secret": self._secret.client_secret,
            "code": returned.code,
        }
        try:
            answer = await self._wire.send("POST", url, urlencode(form).encode(), _FORM, timeout=_TIMEOUT)
        except NoResponse as failure:
            raise no_response(failure, "Let the user authorize again: the code may be used up") from None
        body = parse_json(answer.body)
        fields: dict[str, Any] = dict(body) if is_mapping(body) else {}
        if "access_token" not in fields:
            code = str(fields.get("error") or "B24OAUTH_CODE_REFUSED")
            raise RefreshTokenError(
                f"The OAuth server refused the authorization code: {code}. Let the user authorize again",
                code=code,
                status=answer.status,
                needs_reauth=True,
            )
        return B24OAuthParams.from_token_response(fields, received_at=self._clock())

    def _origin(self, host: str) -> str:
        is_local = host in self._trusted_hosts and host.startswith(("127.", "localhost", "["))
        return f"{'http' if is_local else 'https'}://{host}"

    async def _check(self, state: str, session: str) -> None:
        if not session:
            raise NotGenuineError("The state of the authorization is forged, or of another session")
        values = self._signer.read(state, bound_to=session)
        key = self._key(values["n"])
        try:
            await self._values.save_value(key, str(values["exp"]), expected=None)
        except StoreConflictError:
            used = True
        else:
            used = False
        if used:
            raise NotGenuineError("The state of the authorization was used before")
        await self._forget_old_states()

    async def _forget_old_states(self) -> None:
        """Removes states that are too old to be good anyway."""
        now = self._clock()
        found = [key async for key in self._values.values(self._secret.client_id, _NO_PORTAL)]
        for key in found:
            stored = await self._values.load_value(key)
            if stored is not None and float(stored.value) < now:
                await self._values.delete_value(key)

    def _key(self, nonce: str) -> ValueKey:
        return ValueKey(self._secret.client_id, _NO_PORTAL, f"authorization:{nonce}")
