"""Puts token pairs and installations into a store, replacing the stored ones."""

from __future__ import annotations

import time
from typing import Final, cast

import attrs

from b24oauth.errors import StoreConflictError
from b24oauth.installations import Installation, InstallationState
from b24oauth.models import B24OAuthParams
from b24oauth.storing import InstallationStore, TokenKey, TokenStore, ValueStore

__all__ = ["put_pair", "put_state", "remove_portal"]

# How often a record that another process changes meanwhile is read again.
_CONFLICTS: Final = 5


async def put_pair(store: TokenStore, key: TokenKey, params: B24OAuthParams) -> None:
    """Stores a pair in place of the stored one.

    Args:
        store: The store.
        key: Whose pair it is.
        params: The pair.

    Raises:
        StoreError: The store cannot be written.
    """
    for attempt in range(_CONFLICTS):
        stored = await store.load(key)
        try:
            await store.save(key, params, expected=None if stored is None else stored.revision)
        except StoreConflictError:
            if attempt == _CONFLICTS - 1:
                raise
        else:
            return


async def remove_portal(store: TokenStore, client_id: str, member_id: str) -> int:
    """Removes the pairs and named values of a portal; the record of the installation stays, without secrets.

    Args:
        store: The store.
        client_id: The application.
        member_id: The portal.

    Returns:
        How many pairs there were.

    Raises:
        StoreError: The store cannot be read or written.
    """
    removed = [await store.delete(key) for key in [key async for key in store.keys(client_id, member_id)]]
    if hasattr(store, "save_value"):
        values = cast("ValueStore", store)
        for key in [key async for key in values.values(client_id, member_id)]:
            await values.delete_value(key)
    await put_state(store, client_id, member_id, InstallationState.UNINSTALLED, None)
    return sum(removed)


async def put_state(
    store: TokenStore,
    client_id: str,
    member_id: str,
    state: InstallationState,
    pair: B24OAuthParams | None,
    *,
    event_time: int = 0,
) -> None:
    """Stores the state of an installation, if the store keeps installations.

    Args:
        store: The store.
        client_id: The application.
        member_id: The portal.
        state: The new state.
        pair: Describes the portal; None removes the application tokens.
        event_time: When the event was sent that changes the state, Unix timestamp in seconds; 0 without one.

    Raises:
        StoreError: The store cannot be written.
    """
    if not hasattr(store, "save_installation"):
        return
    installations = cast("InstallationStore", store)
    for attempt in range(_CONFLICTS):
        stored = await installations.load_installation(client_id, member_id)
        now = int(time.time())
        if stored is None:
            record = Installation(client_id=client_id, member_id=member_id, installed_at=now)
        else:
            record = stored.installation
        record = attrs.evolve(record, application_tokens=()) if pair is None else _described(record, pair)
        record = attrs.evolve(record, state=state, updated_at=now, event_time=max(record.event_time, event_time))
        try:
            await installations.save_installation(record, expected=None if stored is None else stored.revision)
        except StoreConflictError:
            if attempt == _CONFLICTS - 1:
                raise
        else:
            return


def _described(record: Installation, pair: B24OAuthParams) -> Installation:
    tokens, token = record.application_tokens, pair.application_token
    return attrs.evolve(
        record,
        client_endpoint=pair.client_endpoint,
        server_endpoint=pair.server_endpoint,
        domain=pair.domain,
        status=pair.status,
        scope=pair.scope or record.scope,
        installer_id=record.installer_id or pair.user_id,
        application_tokens=(*tokens, token) if token and token not in tokens else tokens,
    )
