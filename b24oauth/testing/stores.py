"""Checks of what every store must do, for your own store as well as for those of `b24oauth.stores`.

With pytest:

    @pytest.mark.parametrize("check", TOKEN_STORE_CHECKS, ids=lambda check: check.__name__)
    async def test_my_store(check):
        await check(MyStore())

Every check works with keys of its own, so that all of them may run against one database. They need about ten seconds,
because leases must be seen to end.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar

import attrs

from b24oauth.errors import StoreConflictError
from b24oauth.installations import Installation, InstallationState
from b24oauth.models import B24OAuthParams, EnumAppStatus
from b24oauth.storing import InstallationStore, TokenKey, TokenStore
from b24oauth.testing.value_stores import VALUE_STORE_CHECKS

__all__ = ["INSTALLATION_STORE_CHECKS", "TOKEN_STORE_CHECKS", "VALUE_STORE_CHECKS", "Store"]

T = TypeVar("T")

# Seconds that a lease lasts that must be seen to end, one that must not, and what a busy machine may add.
_LEASE: Final = 1.0
_LONG: Final = 60.0
_SLACK: Final = 5.0

# Names that file systems, databases and PHP treat in ways of their own.
_AWKWARD: Final = ("member", "MEMBER", "../member", "a/b", "a\\b", "a%2Fb", "a:b", "Ключ", "con", ".", "x" * 200)


class Store(TokenStore, InstallationStore, Protocol):
    """A store of both kinds, as those of `b24oauth.stores` are."""


async def a_saved_pair_is_loaded_whole(store: TokenStore) -> None:
    """Nothing is lost, added or rounded."""
    key, pair = _key(), _pair("first")
    _expect(await store.load(key) is None, "load() of a pair that was never saved must return None")
    revision = await store.save(key, pair, expected=None)
    await _expect_stored(store, key, pair, revision)


async def pairs_of_applications_portals_and_users_are_apart(store: TokenStore) -> None:
    """Each part of a key counts, also where a file system or database would not tell names apart."""
    key = _key()
    others = [attrs.evolve(key, client_id=key.client_id + ".other"), attrs.evolve(key, user_id=7)]
    others += [attrs.evolve(key, member_id=name) for name in _AWKWARD]
    revisions = {other: await store.save(other, _pair(f"{other}"), expected=None) for other in [key, *others]}
    for other, revision in revisions.items():
        await _expect_stored(store, other, _pair(f"{other}"), revision)
    found = {other async for other in store.keys(key.client_id)}
    _expect(found == {key, *others[1:]}, "keys() must yield the keys of the application, as they were given")
    _expect(
        {other async for other in store.keys(key.client_id, key.member_id)} == {key, others[1]},
        "keys() with a member_id must yield the keys of that portal",
    )
    _expect([other async for other in store.keys("none." + key.client_id)] == [], "keys() must be empty here")


async def a_pair_is_saved_only_in_place_of_the_one_that_was_read(store: TokenStore) -> None:
    """Compare-and-swap: a process that was paused must not overwrite a newer pair."""
    key = _key()
    first = await store.save(key, _pair("first"), expected=None)
    second = await store.save(key, _pair("second"), expected=first)
    _expect(first != second, "each save() must return another revision")
    for stale in (None, first, "never given"):
        await _expect_conflict(store, key, stale)
    await _expect_stored(store, key, _pair("second"), second)


async def a_removed_pair_is_not_the_one_that_was_read(store: TokenStore) -> None:
    """A revision does not come back."""
    key = _key()
    first = await store.save(key, _pair("first"), expected=None)
    _expect(await store.delete(key), "delete() of a stored pair must return True")
    _expect(not await store.delete(key), "delete() of a pair that is gone must return False")
    _expect(await store.load(key) is None, "load() of a removed pair must return None")
    await _expect_conflict(store, key, first)
    again = await store.save(key, _pair("first"), expected=None)
    _expect(again != first, "a pair that was removed and saved anew must have another revision")


async def one_of_many_saves_at_once_succeeds(store: TokenStore) -> None:
    """Comparison and write are one step."""
    key = _key()
    revision = await store.save(key, _pair("first"), expected=None)
    for replaced in (revision, None):
        if replaced is None:
            await store.delete(key)
        saves = [store.save(key, _pair(f"{index}"), expected=replaced) for index in range(8)]
        results = await asyncio.gather(*saves, return_exceptions=True)
        revisions = [result for result in results if isinstance(result, str)]
        refused = [result for result in results if isinstance(result, StoreConflictError)]
        _expect([len(revisions), len(refused)] == [1, 7], "one save() must succeed and the others conflict")
        await _expect_stored(store, key, _pair(f"{results.index(revisions[0])}"), revisions[0])


async def a_cancelled_save_leaves_the_old_pair_or_the_new_one(store: TokenStore) -> None:
    """Nothing is torn, wherever the task is cancelled."""
    key = _key()
    await store.save(key, _pair("first"), expected=None)
    for turns in range(12):
        stored = await store.load(key)
        if stored is None:
            raise AssertionError("a cancelled save() must not remove the pair")
        saving = asyncio.ensure_future(store.save(key, _pair(f"{turns}"), expected=stored.revision))
        for _ in range(turns):
            await asyncio.sleep(0)
        saving.cancel()
        await asyncio.wait({saving})
        after = await store.load(key)
        allowed = (stored.params, _pair(f"{turns}"))
        _expect(after is not None and after.params in allowed, "a cancelled save() must leave one of the two pairs")


async def pairs_may_be_removed_while_keys_are_read(store: TokenStore) -> None:
    """The iteration does not break."""
    key = _key()
    for user in range(1, 6):
        await store.save(attrs.evolve(key, user_id=user), _pair(f"{user}"), expected=None)
    async for found in store.keys(key.client_id):
        await store.delete(found)
    _expect([found async for found in store.keys(key.client_id)] == [], "every key must have been read")


async def one_task_at_a_time_holds_a_lease(store: TokenStore) -> None:
    """Others wait; leases of other keys do not."""
    key = _key()
    holders: list[int] = []

    async def hold(number: int) -> None:
        async with store.lease(key, seconds=_LONG):
            holders.append(number)
            await asyncio.sleep(0.01)
            _expect(holders.pop() == number, "two tasks held the lease of one key at the same time")

    await asyncio.gather(*map(hold, range(5)))
    async with store.lease(key, seconds=_LONG), asyncio.timeout(_SLACK):
        for other in (attrs.evolve(key, user_id=7), attrs.evolve(key, member_id="other")):
            await _acquired(store, other)


async def the_lease_of_a_holder_that_stopped_ends(store: TokenStore) -> None:
    """A process that was killed or stopped blocks nobody for longer; returning late, it disturbs nobody."""
    key, stopped = _key(), asyncio.Event()
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def stop() -> bool:
        async with store.lease(key, seconds=_LEASE) as lease:
            await stopped.wait()
            return await lease.extend()

    async with _task(stop()) as stopping:
        await asyncio.sleep(_LEASE / 4)
        async with store.lease(key, seconds=_LONG):
            waited = loop.time() - began
            _expect(waited >= _LEASE * 0.9, f"the lease ended after {waited:.2f} s instead of {_LEASE} s")
            _expect(waited < _LEASE + _SLACK, f"the lease ended only after {waited:.2f} s instead of {_LEASE} s")
            stopped.set()
            _expect(not await stopping, "extend() must return False when the lease has ended")
            await _expect_waits(store, key)
        await _acquired(store, key)


async def an_extended_lease_is_held_longer(store: TokenStore) -> None:
    """A renewal that takes long keeps its lease."""
    key = _key()
    async with store.lease(key, seconds=_LEASE) as lease, _task(_acquired(store, key)) as waiting:
        for _ in range(5):
            await asyncio.sleep(_LEASE / 3)
            _expect(await lease.extend(), "extend() must return True while the lease is held")
        _expect(not waiting.done(), "another task got the lease although it was extended")


async def a_cancelled_waiter_leaves_no_lease_behind(store: TokenStore) -> None:
    """Wherever it is cancelled: before, while or after it gets the lease."""
    key = _key()
    for turns in range(10):
        async with store.lease(key, seconds=_LONG), _task(_acquired(store, key)) as waiting:
            for _ in range(turns):
                await asyncio.sleep(0)
            waiting.cancel()
        taking = asyncio.ensure_future(_acquired(store, key))
        for _ in range(turns):
            await asyncio.sleep(0)
        taking.cancel()
        await asyncio.wait({taking})
        await _acquired(store, key)


async def a_lease_ends_with_an_error_of_its_block(store: TokenStore) -> None:
    """The error passes."""
    key = _key()
    with contextlib.suppress(ZeroDivisionError):
        async with store.lease(key, seconds=_LONG):
            raise ZeroDivisionError
        raise AssertionError("lease() must not swallow the error of its block")
    await _acquired(store, key)


async def a_store_shows_no_secret(store: TokenStore) -> None:
    """Neither in its own repr nor in that of what it returns."""
    key = _key()
    await store.save(key, _pair("S3CR3T"), expected=None)
    for shown in (repr(store), repr(await store.load(key)), repr(getattr(store, "__dict__", ""))):
        _expect("S3CR3T" not in shown, "repr() shows a token")


async def a_saved_installation_is_loaded_whole(store: InstallationStore) -> None:
    """Nothing is lost, added or rounded; keys are apart."""
    saved = _installation()
    _expect(
        await store.load_installation(saved.client_id, saved.member_id) is None,
        "load_installation() of an installation that was never saved must return None",
    )
    others = [attrs.evolve(saved, member_id=name) for name in _AWKWARD]
    elsewhere = attrs.evolve(saved, client_id=saved.client_id + ".other")
    for installation in [saved, *others, elsewhere]:
        revision = await store.save_installation(installation, expected=None)
        stored = await store.load_installation(installation.client_id, installation.member_id)
        _expect(
            stored is not None and (stored.installation, stored.revision) == (installation, revision),
            "load_installation() must return what was saved, with its revision",
        )
    found = [installation async for installation in store.installations(saved.client_id)]
    _expect(
        len(found) == len(others) + 1 and all(one in found for one in [saved, *others]),
        "installations() must yield each installation of the application once",
    )


async def an_installation_is_saved_only_in_place_of_the_one_that_was_read(store: InstallationStore) -> None:
    """Compare-and-swap, and a removed installation does not come back."""
    saved = _installation()
    first = await store.save_installation(saved, expected=None)
    changed = attrs.evolve(saved, state=InstallationState.UNINSTALLED, application_tokens=())
    second = await store.save_installation(changed, expected=first)
    for stale in (None, first, "never given"):
        await _expect_installation_conflict(store, saved, stale)
    stored = await store.load_installation(saved.client_id, saved.member_id)
    _expect(
        stored is not None and (stored.installation, stored.revision) == (changed, second),
        "a save_installation() that conflicts must change nothing",
    )
    _expect(
        await store.delete_installation(saved.client_id, saved.member_id),
        "delete_installation() of a stored installation must return True",
    )
    _expect(
        not await store.delete_installation(saved.client_id, saved.member_id),
        "delete_installation() of an installation that is gone must return False",
    )
    await _expect_installation_conflict(store, saved, second)


async def pairs_and_installations_are_apart(store: Store) -> None:
    """A portal has both; removing one leaves the other."""
    saved = _installation()
    key = TokenKey(saved.client_id, saved.member_id)
    revision = await store.save(key, _pair("first"), expected=None)
    await store.save_installation(saved, expected=None)
    await _expect_stored(store, key, _pair("first"), revision)
    await store.delete_installation(saved.client_id, saved.member_id)
    await _expect_stored(store, key, _pair("first"), revision)


TOKEN_STORE_CHECKS: Final[tuple[Callable[[TokenStore], Awaitable[None]], ...]] = (
    a_saved_pair_is_loaded_whole,
    pairs_of_applications_portals_and_users_are_apart,
    a_pair_is_saved_only_in_place_of_the_one_that_was_read,
    a_removed_pair_is_not_the_one_that_was_read,
    one_of_many_saves_at_once_succeeds,
    a_cancelled_save_leaves_the_old_pair_or_the_new_one,
    pairs_may_be_removed_while_keys_are_read,
    one_task_at_a_time_holds_a_lease,
    the_lease_of_a_holder_that_stopped_ends,
    an_extended_lease_is_held_longer,
    a_cancelled_waiter_leaves_no_lease_behind,
    a_lease_ends_with_an_error_of_its_block,
    a_store_shows_no_secret,
)
"""What a `TokenStore` must do; each takes the store and raises `AssertionError`."""

INSTALLATION_STORE_CHECKS: Final[tuple[Callable[[Store], Awaitable[None]], ...]] = (
    a_saved_installation_is_loaded_whole,
    an_installation_is_saved_only_in_place_of_the_one_that_was_read,
    pairs_and_installations_are_apart,
)
"""What a store of both kinds must do besides; each takes the store and raises `AssertionError`."""


def _key() -> TokenKey:
    return TokenKey(f"app.{secrets.token_hex(8)}", f"portal-{secrets.token_hex(4)}")


def _pair(name: str) -> B24OAuthParams:
    return B24OAuthParams(
        access_token=f"access {name} 'ключ' \"\\",
        refresh_token=f"refresh {name}",
        expires=1_900_000_000,
        client_endpoint="https://example.bitrix24.com/rest/",
        server_endpoint="https://oauth.bitrix24.tech/rest/",
        domain="example.bitrix24.com",
        member_id="portal",
        application_token=f"application {name}",
        user_id=0,
        expires_in=3599,
        scope="crm,task," + "user," * 500,
        status=EnumAppStatus.LOCAL,
    )


def _installation() -> Installation:
    key = _key()
    return Installation(
        client_id=key.client_id,
        member_id=key.member_id,
        state=InstallationState.ACTIVE,
        client_endpoint="https://example.bitrix24.com/rest/",
        domain="example.bitrix24.com",
        status=EnumAppStatus.SUBSCRIPTION,
        scope="crm,task",
        installer_id=1,
        application_tokens=("first", "second"),
        app_version="3",
        event_time=1_800_000_000,
        installed_at=1_800_000_001,
        updated_at=1_800_000_002,
    )


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)


async def _expect_stored(store: TokenStore, key: TokenKey, pair: B24OAuthParams, revision: str) -> None:
    stored = await store.load(key)
    if stored is None:
        raise AssertionError("load() must return the pair that was saved")
    _expect(stored.params == pair, "load() must return the pair with every field as it was saved")
    _expect(stored.revision == revision, "load() must return the revision that save() has returned")


async def _expect_conflict(store: TokenStore, key: TokenKey, expected: str | None) -> None:
    with contextlib.suppress(StoreConflictError):
        await store.save(key, _pair("late"), expected=expected)
        raise AssertionError("save() must raise StoreConflictError when another pair is stored, or none")


async def _expect_installation_conflict(
    store: InstallationStore, installation: Installation, expected: str | None
) -> None:
    with contextlib.suppress(StoreConflictError):
        await store.save_installation(installation, expected=expected)
        raise AssertionError("save_installation() must raise StoreConflictError when another one is stored, or none")


async def _expect_waits(store: TokenStore, key: TokenKey) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LEASE / 4):
            await _acquired(store, key)
        raise AssertionError("another task got the lease while it was held")


async def _acquired(store: TokenStore, key: TokenKey) -> None:
    # A lease that was not given back would be waited for longer.
    async with asyncio.timeout(_LONG / 2), store.lease(key, seconds=_LEASE):
        pass


@contextlib.asynccontextmanager
async def _task(coroutine: Coroutine[Any, Any, T]) -> AsyncGenerator[asyncio.Task[T]]:
    task = asyncio.get_running_loop().create_task(coroutine)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
