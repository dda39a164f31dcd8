"""What tests look for in stores and put into them."""

from __future__ import annotations

from typing import Protocol

from b24oauth import B24OAuthParams
from b24oauth.stores import MemoryStore, TokenKey, TokenStore
from b24oauth.testing import FakePortal, VirtualClock

CLIENT_ID = FakePortal(clock=VirtualClock()).secret.client_id


class HasMember(Protocol):
    @property
    def member_id(self) -> str: ...


def key_of(owner: HasMember, user_id: int | None = None) -> TokenKey:
    """The key of a pair, or of the working pair of a portal."""
    return TokenKey(CLIENT_ID, owner.member_id, user_id)


async def put(store: TokenStore, pair: B24OAuthParams, *, key: TokenKey | None = None) -> str:
    """Stores a pair whatever is stored."""
    key = key or key_of(pair)
    stored = await store.load(key)
    return await store.save(key, pair, expected=None if stored is None else stored.revision)


async def stored_for(store: TokenStore, owner: HasMember) -> B24OAuthParams | None:
    """The stored pair of a portal, or of the portal of a pair."""
    stored = await store.load(key_of(owner))
    return None if stored is None else stored.params


async def holding(pair: B24OAuthParams) -> MemoryStore:
    """A store with a pair."""
    store = MemoryStore()
    await put(store, pair)
    return store
