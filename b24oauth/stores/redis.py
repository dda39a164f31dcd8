"""Token pairs, installations and named values in Redis or Valkey, for processes on several machines."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from typing import Any, Final, cast
from urllib.parse import urlsplit

import redis.asyncio as aioredis
from redis.exceptions import RedisError

from b24oauth.checks import check_text
from b24oauth.errors import ConfigurationError, StoreError, StoreRecordError
from b24oauth.stores.loops import PerLoop
from b24oauth.stores.records import Kind, Record, RecordKey, RecordStore

__all__ = ["RedisStore"]

# Seconds. A store that does not answer must not keep calls waiting forever.
_TIMEOUT: Final = 5.0

# Each script is one step for all clients of the server, and may be sent again when its response was lost: the revision
# and the owner are chosen by the caller, so the script finds its own work.
_WRITE: Final = """
local current = redis.call('HGET', KEYS[1], 'revision')
if current == ARGV[3] then return 1 end
if (current or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'record', ARGV[1], 'revision', ARGV[3])
redis.call('SADD', KEYS[2], ARGV[4])
return 1
"""
_REMOVE: Final = """
redis.call('SREM', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])
"""
_SET_ASIDE: Final = """
redis.call('SREM', KEYS[2], ARGV[1])
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('RENAME', KEYS[1], KEYS[3])
return 1
"""
# The server counts the milliseconds, so the clocks of the machines need not agree.
_TAKE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0
"""
_EXTEND: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_GIVE_BACK: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class RedisStore(RecordStore):
    """A store in Redis or Valkey.

    All keys of an application are in one slot of a cluster. The server must keep what it has: switch on its append-only
    file, and set no eviction policy that removes keys without an expiry.

    Args:
        redis: The server's URL, such as ``redis://:password@host:6379/0``, or a `redis.asyncio.Redis` of your own,
            which is not closed by the store.
        prefix: How all keys begin.

    Raises:
        ConfigurationError: `redis` is neither a URL nor a client of redis.asyncio.
    """

    def __init__(self, redis: str | aioredis.Redis | aioredis.RedisCluster, *, prefix: str = "b24oauth") -> None:
        check_text(prefix, "prefix")
        records = RedisRecords(redis, prefix)
        super().__init__(records, records.name)


class RedisRecords:
    """Records in hashes, and a set of them for each application.

    Args:
        redis: The server's URL, or a client.
        prefix: How all keys begin.
    """

    def __init__(self, redis: object, prefix: str) -> None:
        if not isinstance(redis, str | aioredis.Redis | aioredis.RedisCluster):
            raise ConfigurationError("redis must be a URL, or a client of redis.asyncio")
        self._prefix = prefix
        self._given: Any = None if isinstance(redis, str) else redis
        self.name = f"RedisStore({_shown(redis)!r})" if isinstance(redis, str) else "RedisStore(client)"
        self._clients = PerLoop[Any](lambda: _connected(redis))

    async def read(self, key: RecordKey) -> Record | None:
        """The record, or None."""
        record, revision = await self._run(key, self._client.hmget(self._key(key), ["record", "revision"]))
        return None if record is None and revision is None else Record(_text(record), _text(revision))

    async def write(self, key: RecordKey, text: str, *, expected: str | None, revision: str) -> bool:
        """Writes a record in place of the one of revision `expected`; False if there is another one."""
        return await self._script(
            _WRITE, key, [self._key(key), self._index(key)], [text, expected or "", revision, _member(key)]
        )

    async def remove(self, key: RecordKey) -> bool:
        """Removes a record; False when there was none."""
        return await self._script(_REMOVE, key, [self._key(key), self._index(key)], [_member(key)])

    async def set_aside(self, key: RecordKey) -> bool:
        """Renames a record so that its key ends with ``:set-aside:…``; False when there was none."""
        aside = f"{self._key(key)}:set-aside:{secrets.token_hex(4)}"
        return await self._script(_SET_ASIDE, key, [self._key(key), self._index(key), aside], [_member(key)])

    async def keys(self, kind: Kind, client_id: str, member_id: str | None) -> AsyncIterator[RecordKey]:
        """The keys of all records of a kind and an application."""
        index = self._index(RecordKey(kind, client_id, ""))
        for member in await self._run(None, self._client.smembers(index)):
            portal, user = json.loads(_text(member))
            if member_id in (None, portal):
                yield RecordKey(kind, client_id, portal, user)

    async def take(self, key: RecordKey, owner: str, seconds: float) -> bool:
        """Takes the lease of a record, if nobody else holds it."""
        return await self._script(_TAKE, key, [self._lease(key)], [owner, _milliseconds(seconds)])

    async def extend(self, key: RecordKey, owner: str, seconds: float) -> bool:
        """Extends a lease, counted from now; False when it has ended."""
        return await self._script(_EXTEND, key, [self._lease(key)], [owner, _milliseconds(seconds)])

    async def give_back(self, key: RecordKey, owner: str) -> None:
        """Ends the lease of an owner, if he holds it."""
        await self._script(_GIVE_BACK, key, [self._lease(key)], [owner])

    async def aclose(self) -> None:
        """Closes the connections of this event loop."""
        client = self._clients.pop()
        if client is not None:
            await client.aclose()

    @property
    def _client(self) -> Any:
        return self._given or self._clients.get()

    async def _script(self, script: str, key: RecordKey, names: list[str], values: list[Any]) -> bool:
        return bool(await self._run(key, self._client.register_script(script)(keys=names, args=values)))

    async def _run(self, key: RecordKey | None, command: Any) -> Any:
        is_damaged = False
        try:
            return await command
        except (RedisError, OSError) as error:
            is_damaged = "WRONGTYPE" in str(error)
            problem = f"{type(error).__name__}: {error}"
        if is_damaged:
            raise StoreRecordError(
                f"{self.name}: {key or 'the set of records'} cannot be read: another program has stored something "
                "there. It stays as it is; remove it, or use another prefix"
            )
        raise StoreError(
            f"{self.name}: {problem}. Check that the server is reachable and may write; "
            "a renewed pair is kept in memory and saved again before the next call"
        )

    def _key(self, key: RecordKey) -> str:
        return f"{self._prefix}:{{{key.client_id}}}:{key.kind}:{_member(key)}"

    def _lease(self, key: RecordKey) -> str:
        return f"{self._prefix}:{{{key.client_id}}}:lease:{key.kind}:{_member(key)}"

    def _index(self, key: RecordKey) -> str:
        return f"{self._prefix}:{{{key.client_id}}}:{key.kind}s"


def _connected(url: object) -> Any:
    return cast("Any", aioredis.Redis).from_url(str(url), socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT)


def _member(key: RecordKey) -> str:
    return json.dumps([key.member_id, key.user_id], ensure_ascii=False)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _text(value: object) -> str:
    # A client of the application may be set to decode responses, or not.
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str) else ""


def _shown(url: str) -> str:
    """The URL without user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
