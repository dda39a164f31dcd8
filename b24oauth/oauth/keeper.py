"""Holds the token pair and renews it once, whoever asks and however many; what a pair is, others know.

The renewal is a task that the keeper owns: waiters watch it and may be cancelled, it goes on. It returns an outcome
instead of raising, so that each waiter raises an error of its own. A renewed pair becomes visible only after the store
and the callback have seen it.

Between our pair and another one in the store, no clock decides. The other one is newer than a pair that we had from
there or put there, and older than one from `set_params`. A pair from the constructor may be of a new authorization or
from an old file: the store's is used first, for that asks for nothing. A pair refused for good yields to the other.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import anyio
import attrs

from b24oauth.errors import ClientStateError, RefreshTokenError, TokenPersistenceError, UntrustedHostError
from b24oauth.models import B24OAuthParams, RefreshedAuth
from b24oauth.oauth.exchange import Refusal
from b24oauth.oauth.pair import HeldPair, UnsavedPair, auth_data_of
from b24oauth.oauth.renewal import Renewer, ends_the_task, outcome_of, safe_cause, what_happened
from b24oauth.oauth.stores import TokenStore
from b24oauth.observing import Log
from b24oauth.protocol.endpoints import oauth_token_url, rest_root
from b24oauth.redaction import scrub

__all__ = ["CallbackRefreshAuth", "TokenKeeper"]

CallbackRefreshAuth = Callable[[RefreshedAuth], Awaitable[object] | object]


@attrs.frozen
class _NotSaved:
    """A renewed pair that the store or the callback did not take."""

    message: str
    cause: BaseException | None

    def error(self) -> TokenPersistenceError:
        error = TokenPersistenceError(self.message)
        error.__cause__ = self.cause
        return error


@attrs.define(eq=False)
class _Work:
    """One run of the task, as code that it calls can recognize it; `locked` is the store it holds, and for whom."""

    locked: tuple[TokenStore, str] | None = None


_JUDGES: Final = (("server_endpoint", oauth_token_url), ("client_endpoint", rest_root))
_Outcome: TypeAlias = B24OAuthParams | Refusal | _NotSaved

# Which piece of work the current code runs in, to tell a callback that calls the API from everybody else.
_work_of_this_context: Final[contextvars.ContextVar[_Work]] = contextvars.ContextVar("b24oauth_renewal")


class TokenKeeper:
    """The token pair of one portal.

    Args:
        params: The pair to start with.
        renewer: Obtains a new pair.
        store: Where pairs outlive the process.
        log: Told about endpoints of an answer that are not used.

    Attributes:
        callback: Called with each renewed pair.
        renewals: How many pairs were obtained, whoever asked.
    """

    def __init__(self, params: B24OAuthParams, renewer: Renewer, *, store: TokenStore | None, log: Log) -> None:
        self.callback: CallbackRefreshAuth | None = None
        self.renewals = 0
        self._renewer = renewer
        self._store = store
        self._log = log
        self._lock = asyncio.Lock()
        self._held = HeldPair(params)
        self._former = params
        self._held_wins = False
        self._spare: HeldPair | None = None
        self._unsaved: UnsavedPair | None = None
        self._refused: dict[str, Refusal] = {}
        self._in_store: str | None = None
        self._task: asyncio.Task[_Outcome] | None = None
        self._work: _Work | None = None
        self._saving = False
        self._last_failure: _NotSaved | None = None

    @property
    def params(self) -> B24OAuthParams:
        """The pair in use, expired or not."""
        return self._held.params

    def set_params(self, params: B24OAuthParams) -> None:
        """Uses another pair from now on; forgets a refusal, an unsaved pair, and what a renewal under way brings.

        Raises:
            UntrustedHostError: An endpoint of it must not see a secret; the old pair stays.
        """
        for name, judge in _JUDGES:
            judge(getattr(params, name), self._renewer.trusted_hosts)
        self._hold(HeldPair(params))
        self._held_wins = True
        self._spare = None
        self._unsaved = None
        self._refused = {}

    def _hold(self, held: HeldPair) -> None:
        self._former, self._held = self._held.params, held

    def secrets(self, pair: B24OAuthParams) -> tuple[str, ...]:
        """What no message may repeat when a pair was sent: its tokens, those of the one before, the client secret."""
        return self._renewer.secrets_of(pair, self._held.params, self._former)

    def fresh(self) -> B24OAuthParams | None:
        """The pair in use, or None when its access token has expired."""
        return self._held.params if self._is_fresh(self._held) else None

    def ready(self) -> B24OAuthParams | None:
        """The pair in use when nothing has to be waited for: it is valid and saved, and no renewal is under way."""
        return self.fresh() if self._task is None and self._unsaved is None else None

    async def get(self, *, refused: str | None = None) -> B24OAuthParams:
        """A saved pair whose access token is valid; renews it at most once.

        Args:
            refused: An access token that the portal did not accept. When it is no longer the one in use,
                nothing is renewed.

        Raises:
            RefreshTokenError: The pair could not be renewed.
            TokenPersistenceError: The renewed pair could not be saved.
            ClientStateError: Asked from inside of the renewal, which would wait for itself, or of a closed client.
        """
        if self.is_inside():
            return self._pair_inside(refused)
        # Whoever waited for the limits while the client was closed must not begin a renewal.
        self._renewer.wire.enter_loop()
        pair = self.ready()
        if pair is not None and pair.access_token != refused:
            return pair
        return await self._settled()

    async def renew(self) -> B24OAuthParams:
        """A renewed and saved pair, even when the one in use is still valid; another process may have renewed it.

        Raises:
            RefreshTokenError: The pair could not be renewed.
            TokenPersistenceError: The renewed pair could not be saved.
            ClientStateError: Asked from inside of the renewal, which would wait for itself, or of a closed client.
        """
        self.check_outside()
        self._renewer.wire.enter_loop()
        pair = await self._settled()
        return await self._settled() if self.is_doubtful(pair) else pair

    def is_doubtful(self, pair: B24OAuthParams) -> bool:
        """True for a pair of the store in use that has expired by the wall clock, if that clock is right."""
        held = self._held
        return held.was_found and pair is held.params and self._renewer.wall_clock() >= pair.expires

    def check_outside(self) -> None:
        """Refuses what would wait for the renewal from inside of it.

        Raises:
            ClientStateError: Asked from inside of the renewal, which would wait for itself.
        """
        unsettled = self._task is not None or self._unsaved is not None
        if self.is_inside() or (unsettled and self._is_locked_out()):
            raise _would_wait_for_itself()

    async def aclose(self) -> None:
        """Waits for a renewal under way and saves what is not saved yet. Cancelling waits all the same.

        Raises:
            TokenPersistenceError: The renewed pair still could not be saved; closing again tries again.
            ClientStateError: Asked from inside of the renewal, which would wait for itself.
        """
        self.check_outside()
        cancelled: asyncio.CancelledError | None = None
        if self._task is None and self._unsaved is not None:
            self._start()
        # The pair is lost for good if this is cut short: the old refresh token is used up by now.
        with anyio.CancelScope(shield=True):
            while self._task is not None:
                try:
                    await asyncio.wait({self._task})
                except asyncio.CancelledError as error:
                    cancelled = error
        if cancelled is not None:
            raise cancelled
        if self._unsaved is not None:
            raise (self._last_failure or _NotSaved("Saving the renewed token pair was cancelled", None)).error()

    # --- the shared task -----------------------------------------------------------------------------------------

    async def _settled(self) -> B24OAuthParams:
        if self._is_locked_out():
            raise _would_wait_for_itself()
        return await self._watch(self._task or self._start())

    def _start(self) -> asyncio.Task[_Outcome]:
        # An empty context: the first caller's context variables must not reach everybody's save callback.
        task = asyncio.get_running_loop().create_task(
            self._settle(), name="b24oauth renewal", context=contextvars.Context()
        )
        task.add_done_callback(self._forget)
        self._task = task
        return task

    def _forget(self, task: asyncio.Task[_Outcome]) -> None:
        self._task = None
        if self._work is not None:
            # Code that a callback started lives on and may wait for the lock.
            self._work.locked = None
        self._work = None
        if not task.cancelled():
            # Marks an exception as seen; there is none but KeyboardInterrupt and the like, which the loop raises.
            task.exception()

    async def _watch(self, task: asyncio.Task[_Outcome]) -> B24OAuthParams:
        try:
            outcome = await asyncio.shield(task)
        except asyncio.CancelledError:
            here = asyncio.current_task()
            if task.cancelled() and here is not None and not here.cancelling():
                raise RefreshTokenError(
                    "The renewal was cancelled by the end of its event loop", code="B24OAUTH_RENEWAL_CANCELLED"
                ) from None
            raise
        if isinstance(outcome, B24OAuthParams):
            return outcome
        raise outcome.error()

    async def _settle(self) -> _Outcome:
        """Saves what is not saved yet, else renews and saves."""
        work, ours = _Work(), self._held
        self._work = work
        _work_of_this_context.set(work)
        async with self._lock:
            if self._unsaved is not None and (self._store is None or self._unsaved.stored):
                return await self._save(self._unsaved)
            if self._store is None:
                return await self._renew(ours)
            try:
                async with self._store.lock(ours.params.member_id):
                    work.locked = self._store, ours.params.member_id
                    return await self._settle_locked(ours)
            except BaseException as error:  # whatever a store raises reaches every waiter
                if ends_the_task(error):
                    raise
                return self._failure("The token store failed", error, ours.params)

    async def _settle_locked(self, ours: HeldPair) -> _Outcome:
        found = await self._found()
        if self._held is not ours:
            return self._held.params  # set_params came in between: what people set wins
        if self._unsaved is not None:
            if found is None or self._unsaved.may_replace(found):
                return await self._save(self._unsaved)
            # Nobody can have renewed what nobody else has seen: the pair found is of a later authorization.
            self._spare, self._unsaved = self._unsaved.held, None
            return self._adopt(found)
        if found is not None and not self._held_wins:
            return self._adopt(found)
        return await self._renew(ours)

    async def _found(self) -> B24OAuthParams | None:
        """The store's pair when it is another one than ours and has not been refused."""
        if self._store is None:
            return None
        stored = await self._store.load(self._held.params.member_id)
        self._in_store = None if stored is None else stored.refresh_token
        ours = self._held.params
        if stored is None or stored.refresh_token == ours.refresh_token or stored.refresh_token in self._refused:
            return None
        return self._with_trusted_endpoints(stored, ours)

    def _adopt(self, found: B24OAuthParams) -> B24OAuthParams:
        if self._held.was_given:
            self._spare = self._spare or self._held
        wall_clock, loop_time = self._renewer.wall_clock(), asyncio.get_running_loop().time()
        self._hold(HeldPair.found(found, wall_clock=wall_clock, loop_time=loop_time))
        self._held_wins = False
        return found

    async def _renew(self, pair: HeldPair) -> _Outcome:
        ours, token = self._held, pair.params.refresh_token
        refusal = self._refused.get(token)
        if refusal is None:
            outcome = await self._renewer.renew(pair.params)
            if self._held is not ours:
                return self._held.params
            if isinstance(outcome, B24OAuthParams):
                return await self._receive(outcome, pair.params)
            if not outcome.final:
                return outcome
            refusal = self._refused[token] = outcome
        found = await self._found()
        if self._held is not ours:
            return self._held.params
        if found is not None:
            return self._adopt(found)
        spare, self._spare = self._spare, None
        return refusal if spare is None else await self._renew(spare)

    async def _receive(self, answer: B24OAuthParams, before: B24OAuthParams) -> _Outcome:
        self.renewals += 1
        received = self._with_trusted_endpoints(answer, before)
        arrival = asyncio.get_running_loop().time()
        held = HeldPair(received, fresh_until=arrival + received.expires_in)
        self._unsaved, self._held_wins = UnsavedPair(held, replaces=self._in_store), False
        return await self._save(self._unsaved)

    async def _save(self, unsaved: UnsavedPair) -> _Outcome:
        self._saving = True
        try:
            if self._store is not None and not unsaved.stored:
                await self._store.save(unsaved.held.params)
                unsaved.stored = True
            if self.callback is not None and not unsaved.told:
                params = unsaved.held.params
                await outcome_of(self.callback(RefreshedAuth(auth_data=auth_data_of(params), b24_oauth_params=params)))
                unsaved.told = True
        except BaseException as error:  # whatever people's code raises reaches every waiter
            if ends_the_task(error):
                raise
            what = "The renewed token pair could not be saved; it is kept and saved again before the next call"
            return self._failure(what, error, unsaved.held.params)
        finally:
            self._saving = False
        if self._unsaved is unsaved:
            self._hold(unsaved.held)
            self._unsaved = self._spare = None
            self._refused = {}
        return self._held.params

    def _with_trusted_endpoints(self, received: B24OAuthParams, before: B24OAuthParams) -> B24OAuthParams:
        """The pair, with the old address wherever the new one must not see a secret."""
        trusted = self._renewer.trusted_hosts
        for name, judge in _JUDGES:
            try:
                judge(getattr(received, name), trusted)
            except UntrustedHostError as error:
                host = scrub(error.host, self._renewer.secrets_of(received, before))
                self._log.warning(f"renewal keeps the old {name}", host=host)
                received = attrs.evolve(received, **{name: getattr(before, name)})
        return received

    def _failure(self, what: str, error: BaseException, pair: B24OAuthParams) -> _NotSaved:
        secrets = self._renewer.secrets_of(pair, self._held.params)
        failure = _NotSaved(f"{what}: {what_happened(error, secrets)}", safe_cause(error, secrets))
        self._last_failure = failure
        return failure

    def _is_fresh(self, held: HeldPair) -> bool:
        return held.is_fresh(wall_clock=self._renewer.wall_clock(), loop_time=self._renewer.wire.loop_time())

    # --- called from inside of the renewal -------------------------------------------------------------------------

    def is_inside(self) -> bool:
        """True for a callback of the renewal under way, and for whatever it calls."""
        return self._work is not None and _work_of_this_context.get(None) is self._work

    def _is_locked_out(self) -> bool:
        """True inside of another client's renewal that holds the lock which one of ours would wait for."""
        work = _work_of_this_context.get(None)
        if work is None or work.locked is None:
            return False
        store, member_id = work.locked
        return store is self._store and member_id == self._held.params.member_id

    def _pair_inside(self, refused: str | None) -> B24OAuthParams:
        """The pair for a callback that calls the API itself: the one it is to save."""
        unsaved = self._unsaved if self._saving else None
        pair = self.fresh() if unsaved is None else unsaved.held.params
        if pair is None or pair.access_token == refused:
            raise _would_wait_for_itself()
        return pair


def _would_wait_for_itself() -> ClientStateError:
    return ClientStateError(
        "A callback of the renewal needs a renewed token, which would wait for itself for ever: "
        "call the API after the callback, or with a token of your own",
        code="B24OAUTH_RENEWAL_DEADLOCK",
    )
