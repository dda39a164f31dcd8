"""`b24oauth login`: authorizes the application on a portal and stores the token pair."""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import sys
import threading
import time
import webbrowser
from typing import Annotated, Final
from urllib.parse import parse_qs, urlsplit

import attrs
from cyclopts import Parameter
from cyclopts.validators import Number

from b24oauth.apps.authorizing import Authorizer
from b24oauth.apps.requests import CodeReturned
from b24oauth.cli.connecting import CLIENT_ID, CLIENT_SECRET, KEYRING, client_id, client_secret, keyring, trusted_hosts
from b24oauth.cli.output import AsJson, note, print_json
from b24oauth.cli.problems import UsageError
from b24oauth.cli.redirect import Redirect, waited_for
from b24oauth.cli.stores import opened_by_command
from b24oauth.errors import RefreshTokenError
from b24oauth.models import B24OAuthParams, B24OAuthSecret
from b24oauth.observing import Log
from b24oauth.portals import B24Portals
from b24oauth.protocol.endpoints import DEFAULT_OAUTH_HOSTS
from b24oauth.wire import Wire

__all__ = ["login"]

_PORT: Final = 8024
_CARD: Final = "The redirect address in the application's card must be http://127.0.0.1:{port}/"


def login(
    domain: str,
    /,
    *,
    port: Annotated[int, Parameter(validator=Number(gte=1, lte=65_535))] = _PORT,
    paste: bool = False,
    no_browser: bool = False,
    timeout: Annotated[float, Parameter(validator=Number(gt=0, lte=900))] = 300.0,
    remember: bool = False,
    as_json: AsJson = False,
) -> None:
    """Authorize the application on a portal and store the token pair.

    The redirect address in the application's card must be http://127.0.0.1:8024/, or have the port given here. The
    browser opens the portal's authorization page and returns to this address. With --paste nothing listens there:
    paste the address from the browser, which shows an error page, or the code in it.

    Args:
        domain: The portal, for example example.bitrix24.com.
        port: Port of the redirect address.
        paste: Read the address or the code from the standard input.
        no_browser: Only print the address of the authorization page.
        timeout: Seconds to wait for the browser.
        remember: Save client ID and client secret in the system's keyring.
        as_json: Print JSON for programs.
    """
    application = client_id()
    secret = B24OAuthSecret(client_id=application, client_secret=client_secret(application))
    if remember and keyring() is None:
        raise UsageError("--remember needs keyring: pip install keyring")
    attempt = _Attempt(domain.strip().lower(), secret, trusted_hosts())
    url = attempt.url()
    note(f"{_CARD.format(port=port)}\nAuthorize the application on this page:\n{url}")
    pasted = _pasted() if paste else None
    opened = None if no_browser or not _has_browser() else url
    pair = asyncio.run(attempt.finish(pasted, port=port, timeout=timeout, opened=opened))
    if remember:
        _remember(application, secret.client_secret)
    host = urlsplit(pair.client_endpoint).netloc
    if as_json:
        print_json({"member_id": pair.member_id, "domain": host, "scope": pair.scope}, compact=True)
    else:
        print(f"The token pair of {host} ({pair.member_id}) is stored")


@attrs.define(eq=False)
class _Attempt:
    """One authorization, from the page's address to the stored pair."""

    domain: str
    secret: B24OAuthSecret
    trusted: frozenset[str]
    _key: str = attrs.field(factory=secrets.token_urlsafe, repr=False)
    _session: str = attrs.field(factory=secrets.token_urlsafe, repr=False)
    _state: str = attrs.field(default="", repr=False)
    _wire: Wire = attrs.field(factory=lambda: Wire(log=Log(None)))
    _authorizer: Authorizer = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        hosts = DEFAULT_OAUTH_HOSTS | self.trusted
        self._authorizer = Authorizer(self._wire, self.secret, hosts, self._key, time.time)

    def url(self) -> str:
        """Address of the authorization page."""
        url = self._authorizer.url(self.domain, self._session)
        self._state = parse_qs(urlsplit(url).query)["state"][0]
        return url

    async def finish(
        self, pasted: str | None, *, port: int, timeout: float, opened: str | None = None
    ) -> B24OAuthParams:
        """Waits for the browser unless something was pasted, and stores the pair."""

        def listening() -> None:
            if opened is not None:
                # Some commands for browsers end only when the browser is closed.
                threading.Thread(target=webbrowser.open, args=(opened,), daemon=True).start()

        try:
            async with (
                opened_by_command(creates=True) as store,
                B24Portals(
                    self.secret, store, wire=self._wire, trusted_oauth_hosts=DEFAULT_OAUTH_HOSTS | self.trusted
                ) as portals,
            ):
                if pasted is None:
                    return await waited_for(
                        lambda back: self._accept(back, portals), port=port, timeout=timeout, listening=listening
                    )
                pair = await self._accept(self._read(pasted), portals)
                if pair is None:
                    raise UsageError("The address belongs to another authorization: run the command again")
                return pair
        finally:
            await self._wire.aclose()

    def _read(self, pasted: str) -> Redirect:
        if "://" in pasted or "?" in pasted or "code=" in pasted:
            return Redirect.from_query(urlsplit(pasted).query or pasted.rpartition("?")[2])
        # A code alone comes from the user himself: there is no redirect whose state could be forged.
        server = self.domain if self.domain in self.trusted else ""
        return Redirect(code=pasted, state=self._state, server_domain=server)

    async def _accept(self, back: Redirect, portals: B24Portals) -> B24OAuthParams | None:
        """Stores the pair of a code; None if the redirect does not belong to this authorization."""
        if not hmac.compare_digest(back.state.encode(), self._state.encode()):
            return None
        if back.error or not back.code:
            reason = f": {back.error}" if back.error else ""
            raise RefreshTokenError(
                f"The portal did not authorize the application{reason}",
                code="B24OAUTH_NOT_AUTHORIZED",
                needs_reauth=True,
            )
        returned = CodeReturned(code=back.code, state=back.state, server_domain=back.server_domain)
        pair = await self._authorizer.exchange(returned, self._session)
        await portals.install(pair)
        return pair


def _remember(application: str, secret: str) -> None:
    module = keyring()
    try:
        module.set_password(KEYRING, CLIENT_ID, application)
        module.set_password(KEYRING, application, secret)
    except module.errors.KeyringError as error:
        note(f"The keyring could not be written ({type(error).__name__}): set {CLIENT_ID} and {CLIENT_SECRET} instead")


def _pasted() -> str:
    note("Paste the address to which the browser was sent, or the code in it:")
    text = sys.stdin.readline().strip()
    if not text:
        raise UsageError("Nothing was pasted: the standard input must hold the address or the code")
    return text


def _has_browser() -> bool:
    # Without a display, `webbrowser` may start a text browser in this terminal.
    if os.environ.get("BROWSER") or sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
