"""Where token pairs outlive a client: the interface that the option `token_store` takes, and a store in memory."""

from b24oauth.stores.memory import MemoryStore
from b24oauth.storing import TokenStore

__all__ = ["MemoryStore", "MemoryTokenStore", "TokenStore"]

MemoryTokenStore = MemoryStore
"""The name of `MemoryStore` in 0.1.0."""
