"""`B24Portals`: the clients of many portals in one process."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
import weakref
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final, Generic, Self, TypeVar, Unpack

import attrs

from b24oauth import assembling
from b24oauth.checks import at_least, check_function, check_seconds
from b24oauth.client import B24OAuth
from b24oauth.errors import ClientStateError, ConfigurationError, TokenPersistenceError
from b24oauth.installations import InstallationState
from b24oauth.installing import put_pair, put_state, remove_portal
from b24oauth.limits.manager import RestrictionManager
from b24oauth.models import B24OAuthParams, B24OAuthSecret
from b24oauth.observing import Log
from b24oauth.storing import TokenKey, TokenStore
from b24oauth.wire import Wire

__all__ = ["B24Portals", "PortalOutcome"]

T = TypeVar("T")
Key = tuple[str, int | None]

# A portal that was used within this time is not let go: its limiter still knows what is in the portal's bucket.
_SHORTEST_IDLE: Final = 60.0
# How many of the oldest portals are looked at when another one comes.
_AT_ONCE: Final = 3


@attrs.frozen
class PortalOutcome(Generic[T]):
    """What became of a function for one portal.

    Attributes:
        member_id: The portal.
        result: What the function returned; None if it raised.
        error: What it raised; None if it did not.
    """

    member_id: str
    result: T | None = None
    error: Exception | None = None


@attrs.define(eq=False)
class _Portal:
    """The clients of a portal. Most have one, so there is no dictionary until a user has a separate pair.

    Attributes:
        limits: One gate and limiter.
        used_at: Loop time of the last `get`, seconds.
        working: The client of the default pair.
        of_users: The clients of users' pairs.
    """

    limits: RestrictionManager
    used_at: float
    working: B24OAuth | None = None
    of_users: dict[int | None, B24OAuth] | None = None

    def client(self, user_id: int | None) -> B24OAuth | None:
        if user_id is None:
            return self.working
        return None if self.of_users is None else self.of_users.get(user_id)

    def put(self, user_id: int | None, client: B24OAuth) -> None:
        if user_id is None:
            self.working = client
        else:
            self.of_users = {**(self.of_users or {}), user_id: client}

    def is_idle(self) -> bool:
        return all(client.is_idle for client in self.clients().values())

    def clients(self) -> dict[int | None, B24OAuth]:
        clients: dict[int | None, B24OAuth] = dict(self.of_users or {})
        if self.working is not None:
            clients[None] = self.working
        return clients


class B24Portals:
    """The clients of all portals where an application is installed: one set of connections, limits for each portal.

    Use it with `async with`, in one event loop. Clients that were not used for a while are let go; one that somebody
    still holds goes on working, and `get` returns it again.

    Args:
        oauth_secret: The application's credentials.
        store: Has the token pairs; clients go on using it.
        max_portals: How many idle portals are kept at most.
        idle_seconds: After this time without use an idle portal is let go, seconds.
        limits_for: Makes the limits of a portal from its `member_id`, for example a `RedisRestrictionManager`; None
            for limits of the store if it shares any, otherwise of this process.
        options: Further arguments of `B24OAuth`, for every client; all of them use the connections of one wire.

    Attributes:
        client_id: The application.
        store: The store.
        wire: The connections of all clients.

    Raises:
        ConfigurationError: An argument is invalid.
    """

    def __init__(
        self,
        oauth_secret: B24OAuthSecret,
        store: TokenStore,
        *,
        max_portals: int = 1000,
        idle_seconds: float = 900.0,
        limits_for: Callable[[str], RestrictionManager] | None = None,
        **options: Unpack[assembling.ClientOptions],
    ) -> None:
        assembling.check_secret(oauth_secret)
        assembling.check_is_store(store, "store")
        at_least(1)(max_portals, "max_portals")
        check_seconds(idle_seconds, "idle_seconds")
        if limits_for is not None:
            check_function(limits_for, "limits_for")
        if options.get("restriction_manager") is not None:
            raise ConfigurationError("restriction_manager is of one portal: make those of many with limits_for")
        self._secret, self.client_id, self.store = oauth_secret, oauth_secret.client_id, store
        self._max_portals, self._idle_seconds, self._limits_for = max_portals, idle_seconds, limits_for
        self._owns_wire = options.get("wire") is None
        self.wire, self._options = _with_one_wire(options)
        # In the order of their use. Portals that were let go are found here as long as somebody holds a client of them.
        self._portals: OrderedDict[str, _Portal] = OrderedDict()
        self._let_go: weakref.WeakValueDictionary[Key, B24OAuth] = weakref.WeakValueDictionary()
        self._limits_let_go: weakref.WeakValueDictionary[str, RestrictionManager] = weakref.WeakValueDictionary()
        self._making: dict[Key, asyncio.Lock] = {}
        self._closed = False

    async def get(self, member_id: str, user_id: int | None = None) -> B24OAuth:
        """The client of a portal; concurrent callers get the same one.

        Args:
            member_id: The portal.
            user_id: The user whose pair it uses; None for the application's default pair.

        Raises:
            UnknownPortalError: The store has no pair of this portal and user.
            StoreError: The store cannot be read.
            ClientStateError: This object is closed.
        """
        now = self._check_open().time()
        portal = self._portals.get(member_id)
        client = None if portal is None else portal.client(user_id)
        if portal is None or client is None:
            key = member_id, user_id
            lock = self._making.setdefault(key, asyncio.Lock())
            try:
                async with lock:
                    client = self._found(key, now) or await self._made(key, now)
            finally:
                if not lock.locked():
                    self._making.pop(key, None)
        else:
            portal.used_at = now
            self._portals.move_to_end(member_id)
        return client

    def _found(self, key: Key, now: float) -> B24OAuth | None:
        member_id, user_id = key
        portal = self._portals.get(member_id)
        client = None if portal is None else portal.client(user_id)
        if client is None and (client := self._let_go.pop(key, None)) is not None:
            self._keep(key, client, self._limits_of(member_id), now)
        return client

    async def _made(self, key: Key, now: float) -> B24OAuth:
        member_id, user_id = key
        pair = await assembling.stored_pair(self.store, self._secret, member_id, user_id)
        self._check_open()
        return self._keep(key, *self._client(pair, user_id), now)

    def _client(self, pair: B24OAuthParams, user_id: int | None) -> tuple[B24OAuth, RestrictionManager]:
        limits = self._limits_of(pair.member_id)
        options = self._options_of(limits)
        return B24OAuth(pair, self._secret, token_store=self.store, user_id=user_id, **options), limits

    def _options_of(self, limits: RestrictionManager) -> assembling.ClientOptions:
        shared: assembling.ClientOptions = {"restriction_manager": limits, "wire": self.wire}
        return {**self._options, **shared, "restriction_params": None}

    def _limits_of(self, member_id: str) -> RestrictionManager:
        portal = self._portals.get(member_id)
        # Somebody may still hold the client of another user.
        known = self._limits_let_go.get(member_id) if portal is None else portal.limits
        if known is not None:
            return known
        if self._limits_for is not None:
            return self._limits_for(member_id)
        params, clock = self._options.get("restriction_params"), self._options.get("clock", time.time)
        return assembling.limits_for(None, params, self.store, member_id, clock)

    def _keep(self, key: Key, client: B24OAuth, limits: RestrictionManager, now: float) -> B24OAuth:
        member_id, user_id = key
        portal = self._portals.get(member_id)
        if portal is None:
            portal = self._portals[member_id] = _Portal(limits, now)
        portal.put(user_id, client)
        portal.used_at = now
        self._portals.move_to_end(member_id)
        self._let_idle_go(now)
        return client

    def _let_idle_go(self, now: float) -> None:
        """Lets portals go that were not used for long, the oldest first, and those beyond the number that is kept."""
        for member_id in list(itertools.islice(self._portals, _AT_ONCE)):
            portal = self._portals[member_id]
            unused = now - portal.used_at
            is_one_too_many = len(self._portals) > self._max_portals
            if unused < _SHORTEST_IDLE or not (is_one_too_many or unused > self._idle_seconds):
                break
            if not portal.is_idle():
                self._portals.move_to_end(member_id)
                continue
            del self._portals[member_id]
            self._limits_let_go[member_id] = portal.limits
            # A client owns no connections here: one that nobody holds needs no close.
            for user_id, client in portal.clients().items():
                self._let_go[member_id, user_id] = client

    def client(self, params: B24OAuthParams) -> B24OAuth:
        """A client of a pair that is not stored, over the same connections and limits; it need not be closed.

        Args:
            params: The pair, such as that of a user who opens a page.

        Raises:
            UntrustedHostError: An endpoint of it is not a trusted host.
            ClientStateError: This object is closed.
        """
        self._check_open()
        return B24OAuth(params, self._secret, **self._options_of(self._limits_of(params.member_id)))

    async def install(self, params: B24OAuthParams, *, user_id: int | None = None) -> B24OAuth:
        """Stores the token pair of an installation or a new authorization, and uses it from now on.

        Args:
            params: The pair; it must name its `member_id`.
            user_id: The user whose pair it is; None for the application's default pair.

        Returns:
            The portal's client.

        Raises:
            ConfigurationError: The pair has no `member_id`, or is of another user.
            UntrustedHostError: An endpoint of it is not a trusted host; nothing is stored.
            StoreError: The store cannot be written.
        """
        self._check_open()
        key = TokenKey(self.client_id, params.member_id, user_id)
        client, limits = self._client(params, user_id)  # checks the pair
        await put_pair(self.store, key, params)
        await put_state(self.store, key.client_id, key.member_id, InstallationState.ACTIVE, params)
        known = self._found((params.member_id, user_id), self._check_open().time())
        if known is None:
            return self._keep((params.member_id, user_id), client, limits, self._check_open().time())
        known.auth.set_params(params)
        return known

    async def uninstall(self, member_id: str) -> int:
        """Removes all pairs and values of a portal and closes its clients. The record of the installation stays.

        Args:
            member_id: The portal.

        Returns:
            How many pairs there were.

        Raises:
            StoreError: The store cannot be read or written.
        """
        self._check_open()
        portal = self._portals.pop(member_id, None)
        clients = [] if portal is None else list(portal.clients().values())
        clients += [client for key, client in self._let_go.items() if key[0] == member_id]
        # A pair that could not be saved is removed anyway.
        with contextlib.suppress(TokenPersistenceError):
            await _close(clients, drain=0.0)
        return await remove_portal(self.store, self.client_id, member_id)

    async def __aiter__(self) -> AsyncIterator[str]:
        """The `member_id` of every portal that the store has a pair of."""
        seen = set[str]()
        async for key in self.store.keys(self.client_id):
            if key.member_id not in seen:
                seen.add(key.member_id)
                yield key.member_id

    async def for_each(
        self,
        function: Callable[[B24OAuth], Awaitable[T]],
        *,
        concurrency: int = 10,
        timeout: float | None = None,
        member_ids: Iterable[str] | None = None,
    ) -> dict[str, PortalOutcome[T]]:
        """Calls a function with the client of each portal. What happens to one portal concerns no other.

        Args:
            function: A coroutine function.
            concurrency: For how many portals it runs at the same time.
            timeout: Seconds after which it is cancelled for a portal; None for no limit.
            member_ids: The portals; None for all that the store has a pair of.

        Returns:
            What became of it, by `member_id`.

        Raises:
            StoreError: The store cannot be read.
        """
        at_least(1)(concurrency, "concurrency")
        check_function(function, "function")
        if timeout is not None:
            check_seconds(timeout, "timeout")
        left = iter([member_id async for member_id in self] if member_ids is None else list(member_ids))
        outcomes, turns = dict[str, PortalOutcome[T]](), self.wire.shared_turns()

        async def work() -> None:
            for member_id in left:
                await turns.begin(self)
                try:
                    async with asyncio.timeout(timeout):
                        outcomes[member_id] = PortalOutcome(member_id, await function(await self.get(member_id)))
                except Exception as error:  # noqa: BLE001 - the outcome of this portal
                    outcomes[member_id] = PortalOutcome(member_id, error=error)

        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(work())
        return outcomes

    async def aclose(self, *, drain: float = 0.0) -> None:
        """Closes the clients of all portals, and then the connections.

        Args:
            drain: Maximum seconds to let running calls finish first.

        Raises:
            TokenPersistenceError: A new pair still could not be saved; a note names each further portal.
        """
        self._closed = True
        clients = [client for portal in self._portals.values() for client in portal.clients().values()]
        clients += list(self._let_go.values())
        try:
            await _close(clients, drain=drain)
        finally:
            if self._owns_wire:
                await self.wire.aclose()
        self._portals.clear()

    async def __aenter__(self) -> Self:
        self._check_open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _check_open(self) -> asyncio.AbstractEventLoop:
        if self._closed:
            raise ClientStateError("These portals are closed: make a new B24Portals", code="B24OAUTH_CLIENT_CLOSED")
        return self.wire.lifetime.enter()


def _with_one_wire(options: assembling.ClientOptions) -> tuple[Wire, assembling.ClientOptions]:
    """The wire of all clients, and the options of each."""
    of_each = options.copy()
    wire = of_each.pop("wire", None)
    http_client, transport = of_each.pop("http_client", None), of_each.pop("transport", "auto")
    proxy, ssl_context = of_each.pop("proxy", None), of_each.pop("ssl_context", None)
    if wire is None:
        log = Log(options.get("logger"), assembling.checked_observers(options.get("observers", ())))
        wire = Wire(http_client, transport=transport, proxy=proxy, ssl_context=ssl_context, log=log)
    elif (http_client, transport, proxy, ssl_context) != (None, "auto", None, None):
        raise ConfigurationError("wire has connections: set http_client, transport, proxy and ssl_context there")
    return wire, of_each


async def _close(clients: Iterable[B24OAuth], *, drain: float) -> None:
    """Closes clients together; raises the first error, with notes of the others."""
    results = await asyncio.gather(*(client.aclose(drain=drain) for client in clients), return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    if errors:
        for other in errors[1:]:
            errors[0].add_note(str(other))
        raise errors[0]
