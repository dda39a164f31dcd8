"""What to do when a portal answers with a redirect: it may have been renamed, or somebody wants its tokens."""

from __future__ import annotations

from typing import Final

from b24oauth.errors import PortalMovedError
from b24oauth.models import B24OAuthParams
from b24oauth.oauth.keeper import TokenKeeper
from b24oauth.protocol.decoding import RawResponse
from b24oauth.protocol.endpoints import host_of
from b24oauth.result import AjaxQuery
from b24oauth.scrubbing import scrub

__all__ = ["Relocation"]

# A server that names new hosts again and again must not get a renewal for each.
_MOST_UNCONFIRMED: Final = 8
_NONE: Final = frozenset[str]()


class Relocation:
    """Follows a portal to its new address, once the OAuth server confirms it; shared by both API versions.

    Args:
        keeper: Refreshes the token pair; the token response contains the portal's current URL.
    """

    __slots__ = ("_keeper", "_unconfirmed")

    def __init__(self, keeper: TokenKeeper) -> None:
        self._keeper = keeper
        # Hosts that the OAuth server did not confirm, so that each further redirect does not cost a renewal.
        self._unconfirmed = _NONE

    async def follow(self, answer: RawResponse, sent_with: B24OAuthParams, query: AjaxQuery, /) -> B24OAuthParams:
        """The token pair with the portal's new address.

        Args:
            answer: The redirect.
            sent_with: The pair that the request was sent with.
            query: The request.

        Raises:
            PortalMovedError: The OAuth server does not name the host of the redirect as the portal's.
            RefreshTokenError: The pair could not be renewed.
            TokenPersistenceError: The renewed pair could not be saved.
        """
        target = host_of(answer.headers.get("location", ""))
        before = host_of(sent_with.client_endpoint)
        current = self._keeper.params
        if target and target != before and host_of(current.client_endpoint) == target:
            return current  # another call has already followed this redirect
        known = target in self._unconfirmed or len(self._unconfirmed) >= _MOST_UNCONFIRMED
        if target and target != before and not known:
            renewed = await self._keeper.stored()
            if host_of(renewed.client_endpoint) != target:
                renewed = await self._keeper.renew()
            if host_of(renewed.client_endpoint) == target:
                return renewed
            self._unconfirmed |= {target}
        # The redirect's host name may contain data that we sent, such as the token; mask it.
        shown = scrub(target, self._keeper.secrets(sent_with))
        raise PortalMovedError(
            f"The portal {before} redirects {query.method} to {shown or 'no address'}, which the OAuth server "
            "does not name as the portal's address; no token was sent there",
            code="B24OAUTH_PORTAL_MOVED",
            status=answer.status,
            request_info=query.info,
        )
