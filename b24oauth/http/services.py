"""What the HTTP clients of both API versions share."""

from __future__ import annotations

import asyncio

import attrs

from b24oauth.http.relocation import Relocation
from b24oauth.limits.manager import RestrictionManager
from b24oauth.oauth.keeper import TokenKeeper
from b24oauth.observing import Log
from b24oauth.wire import Wire

__all__ = ["Services"]


@attrs.frozen(kw_only=True)
class Services:
    """What the clients of both API versions share.

    Attributes:
        wire: Sends requests.
        gate: A place for each request that may be under way; those who wait come in the order of their arrival.
        keeper: Holds the token pair.
        limits: What the portal allows.
        relocation: Follows a renamed portal.
        log: The logger.
        trusted_hosts: Hosts that may be reached over plain http.
    """

    wire: Wire
    gate: asyncio.Semaphore
    keeper: TokenKeeper
    limits: RestrictionManager
    relocation: Relocation
    log: Log
    trusted_hosts: frozenset[str]
