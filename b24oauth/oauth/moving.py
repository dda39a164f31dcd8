"""A portal that was renamed: its other token pairs in the store get the new address too."""

from __future__ import annotations

from typing import Final

import attrs

from b24oauth.errors import StoreConflictError
from b24oauth.models import B24OAuthParams
from b24oauth.storing import TokenKey, TokenStore

__all__ = ["move_other_pairs"]

_CONFLICTS: Final = 3


async def move_other_pairs(store: TokenStore, key: TokenKey, moved: B24OAuthParams) -> None:
    """Gives the new address to the pairs of the portal's other users.

    Args:
        store: The store.
        key: Of the pair that brought the address.
        moved: This pair.

    Raises:
        Exception: What the store raises.
    """
    others = [other async for other in store.keys(key.client_id, key.member_id) if other != key]
    for other in others:
        await _move(store, other, moved)


async def _move(store: TokenStore, key: TokenKey, moved: B24OAuthParams) -> None:
    for attempt in range(_CONFLICTS):
        stored = await store.load(key)
        if stored is None or stored.params.client_endpoint == moved.client_endpoint:
            return
        params = attrs.evolve(stored.params, client_endpoint=moved.client_endpoint, domain=moved.domain)
        try:
            await store.save(key, params, expected=stored.revision)
        except StoreConflictError:
            if attempt == _CONFLICTS - 1:
                raise
        else:
            return
