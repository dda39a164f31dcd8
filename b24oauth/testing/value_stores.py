"""Checks of what every store of named values must do; `b24oauth.testing.stores` offers them with the others."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import attrs

from b24oauth.errors import StoreConflictError
from b24oauth.storing import TokenKey, TokenStore, ValueKey, ValueStore

__all__ = ["VALUE_STORE_CHECKS"]

# Names that file systems, databases and PHP treat in ways of their own.
_AWKWARD: Final = ("name", "NAME", "../name", "a/b", "a%2Fb", "bot:456:offset", "Ключ", ".", " ", "x" * 500)


class _Store(TokenStore, ValueStore, Protocol):
    """A store of token pairs and named values."""


async def a_saved_value_is_loaded_whole(store: ValueStore) -> None:
    """Nothing is lost, added or rounded; each part of a key counts."""
    key = _key()
    others = [attrs.evolve(key, name=name) for name in _AWKWARD] + [attrs.evolve(key, member_id="other")]
    _expect(await store.load_value(key) is None, "load_value() of a value that was never saved must return None")
    for number, other in enumerate([key, *others]):
        text = f"{number} 'ключ' \"\\ \n" + "long" * 10_000 * (number == 0)
        revision = await store.save_value(other, text, expected=None)
        stored = await store.load_value(other)
        _expect(
            stored is not None and (stored.value, stored.revision) == (text, revision),
            "load_value() must return what was saved, with its revision",
        )
    elsewhere = attrs.evolve(key, client_id=key.client_id + ".other")
    await store.save_value(elsewhere, "", expected=None)
    found = [other async for other in store.values(key.client_id)]
    _expect(set(found) == {key, *others}, "values() must yield the keys of the application, as they were given")
    _expect(len(found) == len(others) + 1, "values() must yield each key once")
    here = {other async for other in store.values(key.client_id, key.member_id)}
    _expect(here == {key, *others[:-1]}, "values() with a member_id must yield the keys of that portal")


async def a_value_is_saved_only_in_place_of_the_one_that_was_read(store: ValueStore) -> None:
    """Compare-and-swap, and a removed value does not come back."""
    key = _key()
    first = await store.save_value(key, "first", expected=None)
    second = await store.save_value(key, "second", expected=first)
    for stale in (None, first, "never given"):
        await _expect_conflict(store, key, stale)
    stored = await store.load_value(key)
    _expect(stored is not None and stored.value == "second", "a save_value() that conflicts must change nothing")
    _expect(await store.delete_value(key), "delete_value() of a stored value must return True")
    _expect(not await store.delete_value(key), "delete_value() of a value that is gone must return False")
    await _expect_conflict(store, key, second)
    again = await store.save_value(key, "second", expected=None)
    _expect(again != second, "a value that was removed and saved anew must have another revision")


async def one_of_many_saves_of_a_value_at_once_succeeds(store: ValueStore) -> None:
    """Comparison and write are one step."""
    key = _key()
    for expected in (None, await store.save_value(attrs.evolve(key, name="other"), "first", expected=None)):
        name = attrs.evolve(key, name="one" if expected is None else "other")
        saves = [store.save_value(name, f"{index}", expected=expected) for index in range(8)]
        results = await asyncio.gather(*saves, return_exceptions=True)
        revisions = [result for result in results if isinstance(result, str)]
        refused = [result for result in results if isinstance(result, StoreConflictError)]
        _expect([len(revisions), len(refused)] == [1, 7], "one save_value() must succeed and the others conflict")
        stored = await store.load_value(name)
        _expect(
            stored is not None and stored.value == f"{results.index(revisions[0])}",
            "the value of the save_value() that succeeded must be stored",
        )


async def values_and_pairs_are_apart(store: _Store) -> None:
    """Values are no pairs, and the other way round."""
    key = _key()
    await store.save_value(key, "value", expected=None)
    pairs = [found async for found in store.keys(key.client_id)]
    _expect(pairs == [], "keys() must not yield values")
    _expect(not await store.delete(TokenKey(key.client_id, key.member_id)), "delete() must not remove a value")
    _expect(await store.load_value(key) is not None, "delete() must not remove a value")


async def a_store_shows_no_value(store: ValueStore) -> None:
    """A value may be a secret."""
    key = _key()
    await store.save_value(key, "S3CR3T", expected=None)
    for shown in (repr(store), repr(await store.load_value(key))):
        _expect("S3CR3T" not in shown, "repr() shows a value")


VALUE_STORE_CHECKS: Final[tuple[Callable[[_Store], Awaitable[None]], ...]] = (
    a_saved_value_is_loaded_whole,
    a_value_is_saved_only_in_place_of_the_one_that_was_read,
    one_of_many_saves_of_a_value_at_once_succeeds,
    values_and_pairs_are_apart,
    a_store_shows_no_value,
)
"""What a store of named values must do besides; each takes the store and raises `AssertionError`."""


def _key() -> ValueKey:
    return ValueKey(f"app.{secrets.token_hex(8)}", f"portal-{secrets.token_hex(4)}", "offset")


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


async def _expect_conflict(store: ValueStore, key: ValueKey, expected: str | None) -> None:
    with contextlib.suppress(StoreConflictError):
        await store.save_value(key, "late", expected=expected)
        raise AssertionError("save_value() must raise StoreConflictError when another value is stored, or none")
