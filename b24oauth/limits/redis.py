"""Limits that processes on several machines share through Redis or Valkey."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from typing import Any, Final, cast

import attrs
import redis.asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from b24oauth.checks import check_text
from b24oauth.errors import ConfigurationError, StoreError
from b24oauth.limits.params import RestrictionParams
from b24oauth.limits.shared import SharedRestrictionManager
from b24oauth.sharing import Budget, Reservation, Reserve

__all__ = ["RedisLimits", "RedisRestrictionManager"]

# What is not used is forgotten; seconds. A bucket is empty again much earlier.
_KEPT: Final = 86_400
# Seconds.
_TIMEOUT: Final = 1.0

# The functions `reserve` and `refuse` of `b24oauth.sharing`, in one step for all clients of the server. The state is a
# hash with the fields of `SharedState`; the budgets in it are JSON.
_SCRIPT: Final = """
local key, wanted, now = KEYS[1], cjson.decode(ARGV[1]), tonumber(ARGV[2])
if not now then
  local told = redis.call('TIME')
  now = tonumber(told[1]) + tonumber(told[2]) / 1e6
end
local names = {'empty_at', 'held_until', 'burst', 'rate', 'epoch', 'changed_at', 'budgets_version'}
local found = redis.call('HMGET', key, unpack(names))
local state = {}
for number, name in ipairs(names) do state[name] = tonumber(found[number]) or 0 end
local budgets, is_reported = nil, false

local function in_force()
  local burst, rate = wanted.burst, wanted.rate
  if state.burst > 0 then burst = math.min(state.burst, burst) end
  if state.rate > 0 then rate = math.min(state.rate, rate) end
  return burst, rate
end

local function mend()
  local burst, rate = in_force()
  if math.max(state.empty_at, state.held_until, state.changed_at) > now + 900 + burst / rate then
    state.empty_at, state.held_until, state.changed_at = now + burst / rate, 0, now
  end
end

local function raised(value, configured, step)
  local higher = value * 1.1 + step
  if value == 0 or higher >= configured then return 0 end
  return higher
end

local function known_budgets()
  return cjson.decode(redis.call('HGET', key, 'budgets') or '{}')
end

local function reserve()
  if wanted.resets then
    for _, name in ipairs({'empty_at', 'held_until', 'burst', 'rate', 'changed_at'}) do state[name] = 0 end
    state.epoch = state.epoch + 1
    budgets, is_reported = {}, true
  end
  mend()
  if (state.burst > 0 or state.rate > 0) and now - state.changed_at >= 30 then
    state.changed_at = now
    state.rate = raised(state.rate, wanted.rate, 0)
    state.burst = raised(state.burst, wanted.burst, 1)
  end
  local burst, rate = in_force()
  state.empty_at = math.max(now, state.empty_at - wanted.given_back / rate)
  local before = (state.empty_at - now) * rate
  local room = math.max(1, burst - wanted.margin)
  local wait = math.max(0, (before + 1 - room) / rate)
  state.empty_at = state.empty_at + 1 / rate
  if next(wanted.budgets) then
    budgets, is_reported = budgets or known_budgets(), true
    for method, entry in pairs(budgets) do
      if now - entry[4] > 660 then budgets[method] = nil end
    end
    for method, told in pairs(wanted.budgets) do
      local resets_at = told[2] > 0 and now + told[2] or 0
      local blocked_until = told[3] > 0 and now + told[3] or 0
      budgets[method] = {told[1], resets_at, blocked_until, now}
    end
    state.budgets_version = state.budgets_version + 1
  end
  local news = false
  if state.budgets_version ~= wanted.known_budgets then
    news = {}
    for method, entry in pairs(budgets or known_budgets()) do
      news[method] = {entry[1], math.max(0, entry[2] - now), math.max(0, entry[3] - now)}
    end
  end
  return {wait, math.min(before + 1, room), burst, rate, state.epoch, news, state.budgets_version}
end

local function refuse()
  mend()
  local burst, rate = in_force()
  state.held_until = math.max(state.held_until, now + wanted.retry_after)
  if wanted.sent_epoch < state.epoch then
    state.empty_at = math.max(state.empty_at, math.max(now, state.held_until) + burst / rate)
    return {}
  end
  if wanted.adapts then
    if wanted.level < burst * 0.8 then
      state.burst = math.max(1, wanted.level - 1)
    else
      state.rate = rate * 0.75
    end
    state.changed_at = now
    burst, rate = in_force()
  end
  state.empty_at = math.max(now, state.held_until) + burst / rate
  state.epoch = state.epoch + 1
  return {}
end

local answer = wanted.refuses and refuse() or reserve()
local fields = {}
for _, name in ipairs(names) do
  fields[#fields + 1] = name
  fields[#fields + 1] = string.format('%.17g', state[name])
end
if is_reported then
  fields[#fields + 1] = 'budgets'
  fields[#fields + 1] = cjson.encode(budgets)
end
redis.call('HSET', key, unpack(fields))
redis.call('EXPIRE', key, ARGV[3])
if wanted.refuses then return '' end
return string.format('%.17g %.17g %.17g %.17g %d %d ', answer[1], answer[2], answer[3], answer[4], answer[5], answer[7])
  .. (answer[6] and cjson.encode(answer[6]) or '')
"""

_SHA: Final = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

_log = logging.getLogger("b24oauth")


class RedisRestrictionManager(SharedRestrictionManager):
    """Limits of one portal that all processes share which use the same Redis server, portal and source.

    Args:
        redis: The server's URL, or a `redis.asyncio.Redis` of your own, which is not closed by the manager.
        portal: The portal's `member_id`.
        params: Limits and repeats; None for the usual ones. All processes should have the same.
        source: Name of the address that requests come from: Bitrix24 counts the requests of each address by itself.
        share: This process's part of the portal's bucket while Redis is away: 1/N for N processes.
        prefix: How all keys begin.
        clock: Unix timestamp, seconds: the portal names the end of a method's block by it.

    Source: https://apidocs.bitrix24.com/limits.html
    """

    def __init__(
        self,
        redis: str | aioredis.Redis | aioredis.RedisCluster,
        portal: str,
        params: RestrictionParams | None = None,
        *,
        source: str = "",
        share: float = 0.25,
        prefix: str = "b24oauth",
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_text(portal, "portal")
        limits = RedisLimits(redis, f"{prefix}:limits:{{{portal}}}:{source}")
        super().__init__(limits, params, share=share, clock=clock)


class RedisLimits:
    """The state of a portal in a hash, changed by one script.

    Args:
        redis: The server's URL, or a client.
        key: The hash.
    """

    def __init__(self, redis: object, key: str) -> None:
        if not isinstance(redis, str | aioredis.Redis | aioredis.RedisCluster):
            raise ConfigurationError("redis must be a URL, or a client of redis.asyncio")
        self._owns = isinstance(redis, str)
        self._client: Any = _connected(redis) if isinstance(redis, str) else redis
        self._key = key
        # Some hosts do not let scripts ask for the time.
        self._has_time = True

    async def reserve(self, wanted: Reserve) -> Reservation:
        """Reserves an admission, in one step."""
        budgets = {method: attrs.astuple(budget) for method, budget in wanted.budgets.items()}
        text = await self._run(
            {
                "burst": wanted.burst,
                "rate": wanted.rate,
                "margin": wanted.margin,
                "given_back": wanted.given_back,
                "resets": wanted.resets,
                "budgets": budgets,
                "known_budgets": wanted.known_budgets,
            }
        )
        wait, level, burst, rate, epoch, version, news = text.split(" ", 6)
        return Reservation(
            float(wait),
            float(level),
            float(burst),
            float(rate),
            int(epoch),
            {method: Budget(*told) for method, told in json.loads(news).items()} if news else None,
            int(version),
        )

    async def epoch(self) -> int:
        """The current epoch."""
        try:
            return int(float(await self._client.hget(self._key, "epoch") or 0))
        except (RedisError, OSError) as error:
            problem = _problem(error)
        raise StoreError(problem)

    async def refuse(self, wanted: Reserve, *, level: float, sent_epoch: int, retry_after: float, adapts: bool) -> None:
        """Notes that the portal refused a request because of its rate."""
        await self._run(
            {
                "refuses": True,
                "burst": wanted.burst,
                "rate": wanted.rate,
                "level": level,
                "sent_epoch": sent_epoch,
                "retry_after": retry_after,
                "adapts": adapts,
            }
        )

    async def aclose(self) -> None:
        """Closes the connections, unless the client is the application's."""
        if self._owns:
            await self._client.aclose()

    async def _run(self, wanted: dict[str, Any]) -> str:
        try:
            text = json.dumps(wanted)
            if self._has_time:
                try:
                    return await self._evaluated(text, "")
                except aioredis.ResponseError as error:
                    if "TIME" not in str(error).upper():
                        raise
                self._has_time = False
                _log.warning("This Redis lets no script ask for the time: the clocks of all machines must agree")
            return await self._evaluated(text, time.time())
        except (RedisError, OSError) as error:
            problem = _problem(error)
        raise StoreError(problem)

    async def _evaluated(self, wanted: str, now: float | str) -> str:
        try:
            return _text(await self._client.evalsha(_SHA, 1, self._key, wanted, now, _KEPT))
        except NoScriptError:
            await self._client.script_load(_SCRIPT)
        return _text(await self._client.evalsha(_SHA, 1, self._key, wanted, now, _KEPT))


def _connected(url: str) -> Any:
    # One more try is for a connection that the server has closed. While it is away, calls must not wait for it.
    retry = Retry(NoBackoff(), 1)
    options = {"socket_timeout": _TIMEOUT, "socket_connect_timeout": _TIMEOUT, "retry": retry}
    return cast("Any", aioredis.Redis).from_url(url, **options)


def _problem(error: Exception) -> str:
    return f"Redis: {type(error).__name__}: {error}"


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
