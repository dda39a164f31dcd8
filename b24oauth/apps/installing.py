"""How requests change the record of an installation, and which requests are accepted."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import attrs

from b24oauth.apps.events import EventAuth, Installed, PortalRequest, Uninstalled, UserReady
from b24oauth.apps.requests import PageOpened
from b24oauth.apps.verifying import NotGenuineError, Proof, is_genuine
from b24oauth.client import B24OAuth
from b24oauth.errors import InvalidDataError
from b24oauth.installations import Installation, InstallationState
from b24oauth.installing import put_pair, put_state
from b24oauth.models import B24OAuthParams
from b24oauth.portals import B24Portals
from b24oauth.shapes import as_mapping, is_mapping, whole_number
from b24oauth.storing import InstallationStore, TokenKey, TokenStore

__all__ = ["Installations"]

# How far the portal's clock may be ahead of ours, seconds.
_CLOCKS_DIFFER: Final = 300


class _Store(TokenStore, InstallationStore, Protocol):
    pass


class Installations:
    """The installations of an application.

    Args:
        store: Keeps them and the token pairs.
        client_id: The application.
        portals: The clients, which use the pairs.
        prove: Asks the OAuth server who owns the access token of a pair.
    """

    def __init__(
        self,
        store: _Store,
        client_id: str,
        portals: B24Portals,
        prove: Callable[[B24OAuthParams], Awaitable[Proof]],
    ) -> None:
        self._store = store
        self._client_id = client_id
        self._portals = portals
        self._prove = prove

    async def check(self, member_id: str, application_token: str) -> None:
        """Refuses a request that is not shown to come from a portal where the application is installed.

        Raises:
            NotGenuineError: It is not.
        """
        record = await self._record(member_id)
        if record is None or record.state is InstallationState.UNINSTALLED:
            raise NotGenuineError(f"The application is not installed on portal {member_id}")
        if not is_genuine(application_token, record.application_tokens):
            raise NotGenuineError(f"The application token is not one of portal {member_id}")

    async def is_installed(self, member_id: str) -> bool:
        """True unless the portal has removed the application, or never had it."""
        record = await self._record(member_id)
        return record is not None and record.state is not InstallationState.UNINSTALLED

    async def has_pair(self, member_id: str, user_id: int) -> bool:
        """True if the store has a pair of this user of a portal."""
        return await self._store.load(TokenKey(self._client_id, member_id, user_id)) is not None

    async def is_genuine(self, auth: EventAuth) -> bool:
        """True if a request comes from a portal where the application is installed."""
        record = await self._record(auth.member_id)
        return record is not None and _is_known(record, auth.application_token)

    async def proved_client(self, request: PortalRequest) -> B24OAuth:
        """The client of the pair that a request carries, which is stored nowhere.

        Raises:
            NotGenuineError: The access token is not one of a user of the portal.
            InvalidDataError: It carries no tokens.
        """
        pair = B24OAuthParams.from_event(request.raw)
        return self._portals.client((await self._proof(pair)).applied_to(pair))

    async def installed(self, event: Installed) -> bool:
        """Stores the pair of an installation.

        Returns:
            False for an event that is older than the last installation or removal of the application.

        Raises:
            NotGenuineError: The access token does not prove where it comes from.
            InvalidDataError: It carries no tokens.
        """
        member_id = event.auth.member_id
        if _is_late(await self._record(member_id), event.sent_at):
            return False
        # Every user who opens a page sees the application token in the browser: it proves the portal, not the pair.
        pair = await self._proved(event.pair())
        # The application may have been removed while the pair was proved.
        if _is_late(await self._record(member_id), event.sent_at):
            return False
        await self._store_pair(pair, _not_in_future(event.sent_at))
        return True

    async def user_ready(self, event: UserReady) -> UserReady:
        """Stores the pair of the system user beside the others.

        Returns:
            The event, with the user that the OAuth server knows.

        Raises:
            NotGenuineError: The access token does not prove where it comes from.
            InvalidDataError: It carries no tokens, or names no user.
        """
        pair = event.pair()
        if pair.member_id != event.auth.member_id:
            raise NotGenuineError("The two blocks of the event name different portals")
        pair = (await self._proof(pair)).applied_to(pair)
        if not pair.user_id:
            # Without a user it would replace the default pair.
            raise InvalidDataError("The event", ["data[user_id] is missing"])
        key = TokenKey(self._client_id, pair.member_id, pair.user_id)
        await put_pair(self._store, key, pair)
        data = {**as_mapping(event.data), "user_id": pair.user_id}
        return attrs.evolve(event, user_id=pair.user_id, data=data, raw={**event.raw, "data": data})

    async def uninstalled(self, event: Uninstalled) -> bool:
        """Removes all pairs of a portal; the record stays without secrets.

        Returns:
            False for an event that is older than the installation.

        Raises:
            NotGenuineError: The application token is not one of the portal.
        """
        await self.check(event.auth.member_id, event.auth.application_token)
        record = await self._record(event.auth.member_id)
        if record is not None and event.sent_at < record.event_time:
            return False
        await self._portals.uninstall(event.auth.member_id)
        state = InstallationState.UNINSTALLED
        await put_state(
            self._store, self._client_id, event.auth.member_id, state, None, event_time=_not_in_future(event.sent_at)
        )
        return True

    async def opened(self, page: PageOpened, *, received_at: float, is_pending: bool) -> tuple[B24OAuthParams, bool]:
        """The pair of the user who opened a page, proved, and whether the page told of an installation.

        Args:
            page: The request.
            received_at: When it arrived, Unix timestamp in seconds.
            is_pending: True for the installation page, which has to finish the installation yet.

        Raises:
            NotGenuineError: The access token is not one of a user of the portal.
            InvalidDataError: It carries no tokens.
        """
        pair = page.pair(received_at=received_at)
        proof = await self._proof(pair)
        pair = proof.applied_to(pair)
        record = await self._record(pair.member_id)
        stored = await self._store.load(TokenKey(self._client_id, pair.member_id))
        if record is None or record.state is InstallationState.UNINSTALLED or stored is None:
            await self._check_administrator(pair)
            await self._store_pair(pair, 0, InstallationState.PENDING if is_pending else InstallationState.ACTIVE)
            return pair, True
        if record.state is InstallationState.PENDING and not is_pending and await self._is_administrator(pair):
            # The portal shows other pages when the installation is finished.
            state = InstallationState.ACTIVE
            await put_state(self._store, self._client_id, pair.member_id, state, stored.params)
        return pair, False

    async def authorized(self, pair: B24OAuthParams) -> B24OAuth:
        """Stores a pair that the OAuth server gave for a code: the default pair if there is none, else the user's.

        Args:
            pair: The pair.
        """
        profile = as_mapping(await self._portals.client(pair).call("profile"))
        user_id = whole_number(profile.get("ID")) or 0
        pair = attrs.evolve(pair, user_id=user_id)
        stored = await self._store.load(TokenKey(self._client_id, pair.member_id))
        if stored is None and profile.get("ADMIN") is True:
            return await self._portals.install(pair)
        return await self._portals.install(pair, user_id=user_id or None)

    async def _record(self, member_id: str) -> Installation | None:
        stored = await self._store.load_installation(self._client_id, member_id)
        return None if stored is None else stored.installation

    async def _proof(self, pair: B24OAuthParams) -> Proof:
        proof = await self._prove(pair)
        if not proof.member_id or proof.member_id != pair.member_id:
            raise NotGenuineError("The access token is of another portal than the request names")
        return proof

    async def _proved(self, pair: B24OAuthParams) -> B24OAuthParams:
        """The pair of an administrator, with what the OAuth server says of it."""
        pair = (await self._proof(pair)).applied_to(pair)
        await self._check_administrator(pair)
        return pair

    async def _check_administrator(self, pair: B24OAuthParams) -> None:
        # A token proves only that some user of the portal speaks, and anybody who opens a page of the application has
        # one.
        if not await self._is_administrator(pair):
            raise NotGenuineError(f"Who would install the application on portal {pair.member_id} is no administrator")

    async def _is_administrator(self, pair: B24OAuthParams) -> bool:
        profile = await self._portals.client(pair).call("profile")
        return is_mapping(profile) and profile.get("ADMIN") is True

    async def _store_pair(
        self, pair: B24OAuthParams, event_time: int, state: InstallationState = InstallationState.ACTIVE
    ) -> None:
        await self._portals.install(pair)
        await put_state(self._store, self._client_id, pair.member_id, state, pair, event_time=event_time)


def _is_known(record: Installation, application_token: str) -> bool:
    is_installed = record.state is not InstallationState.UNINSTALLED
    return is_installed and is_genuine(application_token, record.application_tokens)


def _is_late(record: Installation | None, sent_at: int) -> bool:
    """True for an event that is older than the last installation or removal: its pair is not the latest."""
    return record is not None and 0 < sent_at < record.event_time


def _not_in_future(sent_at: int) -> int:
    """The time of an event as it is compared with that of later ones: a forged one must not lie after all of them."""
    return min(sent_at, int(time.time()) + _CLOCKS_DIFFER)
