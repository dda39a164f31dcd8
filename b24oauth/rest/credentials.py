"""Credentials for requests: a token pair or a webhook URL."""

from __future__ import annotations

from typing import Any, Protocol

from b24oauth.errors import PortalMovedError
from b24oauth.protocol.decoding import RawResponse
from b24oauth.protocol.dialects import Dialect
from b24oauth.protocol.endpoints import host_of
from b24oauth.result import AjaxQuery
from b24oauth.scrubbing import scrub

__all__ = ["Credentials", "Grant", "HookGrant", "Moving", "WebhookCredentials"]


class Grant(Protocol):
    """Credentials of one request; implemented by `B24OAuthParams` (token pair) and `HookGrant` (webhook)."""

    @property
    def access_token(self) -> str:
        """The token in the body; empty when the address itself is the secret."""
        ...

    @property
    def client_endpoint(self) -> str:
        """REST root of the portal."""
        ...


class Credentials(Protocol):
    """Provides the credentials for calls. Implemented by `TokenKeeper` and `WebhookCredentials`."""

    @property
    def renewals(self) -> int:
        """How often a new grant was obtained."""
        ...

    @property
    def params(self) -> Grant:
        """The grant in use, valid or not."""
        ...

    def fresh(self) -> Grant | None:
        """The grant in use, or None when it has expired."""
        ...

    def ready(self) -> Grant | None:
        """The grant in use when nothing has to be waited for, else None."""
        ...

    def is_inside(self) -> bool:
        """True for calls of a callback of a renewal under way."""
        ...

    def base(self, pair: Any, dialect: Dialect, /) -> str:
        """The address that names of methods are appended to."""
        ...

    def secrets(self, pair: Any, /) -> tuple[str, ...]:
        """What no message may repeat."""
        ...

    async def get(self) -> Grant:
        """A valid grant."""
        ...

    async def after_refusal(self, refused: str, *, accepted: bool) -> Grant | None:
        """Returns a replacement for a grant whose token was rejected, or None."""
        ...

    async def after_denial(self, denied: str, /) -> Grant | None:
        """A grant to use instead of one whose token v3 denied access for; None without one."""
        ...

    def denial_was_of_the_token(self) -> None:
        """A call that was denied succeeded with another token."""
        ...


class Moving(Protocol):
    """What to do when a portal responds with a redirect."""

    async def follow(self, answer: RawResponse, sent_with: Any, query: AjaxQuery, /) -> Grant:
        """A grant with the portal's new address."""
        ...


class HookGrant:
    """The address of a webhook. It has slots and no `repr` of its own: `vars` must not show the secret.

    Args:
        client_endpoint: Address of v2, ending in a slash.
        base_v3: The same of v3.
        code: The secret part of both.
    """

    __slots__ = ("base_v3", "client_endpoint", "code")

    access_token = ""

    def __init__(self, client_endpoint: str, base_v3: str, code: str) -> None:
        self.client_endpoint = client_endpoint
        self.base_v3 = base_v3
        self.code = code

    def __reduce__(self) -> str:
        raise TypeError("A webhook's address is not pickled: it is a secret")


class WebhookCredentials:
    """An inbound webhook: its address is the secret, and never changes.

    Args:
        grant: The address.
    """

    __slots__ = ("_grant",)

    renewals = 0

    def __init__(self, grant: HookGrant) -> None:
        self._grant = grant

    @property
    def params(self) -> HookGrant:
        """The address."""
        return self._grant

    def fresh(self) -> HookGrant:
        """The address."""
        return self._grant

    def ready(self) -> HookGrant:
        """The address."""
        return self._grant

    def is_inside(self) -> bool:
        """False: nothing is renewed."""
        return False

    def base(self, pair: HookGrant, dialect: Dialect, /) -> str:
        """The address that names of methods are appended to."""
        return pair.base_v3 if dialect.path else pair.client_endpoint

    def secrets(self, pair: HookGrant, /) -> tuple[str, ...]:
        """The secret part of the address."""
        return (pair.code, pair.code.lower())

    async def get(self) -> HookGrant:
        """The address."""
        return self._grant

    async def after_refusal(self, refused: str, *, accepted: bool) -> None:
        """None: there is no other one."""
        del refused, accepted

    async def after_denial(self, denied: str, /) -> None:
        """None: there is no other one."""

    def denial_was_of_the_token(self) -> None:
        """Does nothing: there is no token."""

    # --- redirects -------------------------------------------------------------------------------------------------

    async def follow(self, answer: RawResponse, sent_with: HookGrant, query: AjaxQuery, /) -> HookGrant:
        """Refuses to send the secret anywhere else.

        Raises:
            PortalMovedError: Always.
        """
        # The portal knows the secret, so the host that it names may contain it.
        target = scrub(host_of(answer.headers.get("location", "")), self.secrets(sent_with))
        raise PortalMovedError(
            f"The portal {host_of(sent_with.client_endpoint)} redirects {query.method} to {target or 'no address'}; "
            "the webhook was not sent there. If the portal was renamed, take the webhook's new address from the portal",
            code="B24OAUTH_PORTAL_MOVED",
            status=answer.status,
            request_info=query.info,
        )
