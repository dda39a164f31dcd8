"""Where token pairs outlive a client: what the option `token_store` takes, and a store in memory."""

from b24oauth.errors import StoreConflictError
from b24oauth.stores.memory import MemoryStore
from b24oauth.storing import Lease, StoredPair, TokenKey, TokenStore

__all__ = [
    "Lease",
    "MemoryStore",
    "MemoryTokenStore",
    "StoreConflictError",
    "StoredPair",
    "TokenKey",
    "TokenStore",
]

MemoryTokenStore = MemoryStore
"""The name of `MemoryStore` in 0.1.0."""
