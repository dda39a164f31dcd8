"""Holds the token pair and renews it once, no matter how many callers ask. The steps of a refresh are in `settling`.

The refresh runs in a task owned by the keeper. Cancelling a waiter does not cancel the task. It returns an outcome
instead of raising, so that each waiter raises an error of its own. A renewed pair becomes visible only after the store
and the callback have seen it.
"""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import AsyncExitStack
from typing import Final

import anyio

from b24oauth.errors import ClientStateError, RefreshTokenError
from b24oauth.models import B24OAuthParams
from b24oauth.oauth.leasing import LEASE_SECONDS, extended, held_unless
from b24oauth.oauth.outcomes import NotSaved, Outcome
from b24oauth.oauth.renewal import Renewer, ends_the_program, is_own_cancellation
from b24oauth.oauth.reporting import RefreshReport
from b24oauth.oauth.restraint import Allowance
from b24oauth.oauth.settling import CallbackRefreshAuth, Settler
from b24oauth.oauth.work import WORK_OF_THIS_CONTEXT, Work, is_leased_here, would_wait_for_itself
from b24oauth.observing import Log
from b24oauth.protocol.dialects import Dialect
from b24oauth.protocol.endpoints import rest_root
from b24oauth.storing import TokenStore

__all__ = ["TokenKeeper"]

# v3 answers the same to a bad token and to a user without rights: a renewal that only changed the token doubles the age
# from which the next one is worth asking for.
_FIRST_DOUBT: Final = 60.0
_LAST_DOUBT: Final = 3600.0
_GRACE: Final = 0.5  # of a cancelled task
# Loop turns in which a response may still arrive: a stopped process wakes up with all of its deadlines passed.
_LAST_TURNS: Final = 3


class TokenKeeper:
    """The token pair of one portal.

    Args:
        params: The pair to start with.
        renewer: Obtains a new pair.
        store: Where pairs outlive the process.
        log: Gets a message about each part of a response that is ignored.
    """

    def __init__(self, params: B24OAuthParams, renewer: Renewer, *, store: TokenStore | None, log: Log) -> None:
        self._renewer = renewer
        self._log = log
        self._settler = Settler(params, renewer, store=store, log=log)
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[Outcome] | None = None
        self._work: Work | None = None
        self._allowance = Allowance()
        self._doubt = _FIRST_DOUBT
        self._waiters: dict[asyncio.Future[Outcome], None] = {}
        self._ended_by_close = False

    @property
    def params(self) -> B24OAuthParams:
        """The pair in use, expired or not."""
        return self._settler.held.params

    @property
    def callback(self) -> CallbackRefreshAuth | None:
        """Called with each renewed pair."""
        return self._settler.callback

    @callback.setter
    def callback(self, callback: CallbackRefreshAuth | None) -> None:
        self._settler.callback = callback

    @property
    def renewals(self) -> int:
        """How many pairs were obtained."""
        return self._settler.renewals

    @property
    def is_settled(self) -> bool:
        """True while no pair is being renewed, looked for or waiting to be saved."""
        return self._task is None and self._settler.unsaved is None

    def set_params(self, params: B24OAuthParams) -> None:
        """Replaces the current pair; discards a remembered rejection, an unsaved pair, and what a refresh brings.

        Raises:
            ConfigurationError: It is of another portal; the old pair stays.
            UntrustedHostError: An endpoint of it must not see a secret; the old pair stays.
        """
        self._settler.set(params, since=self._renewer.wire.loop_time())
        self._allowance = Allowance()

    def secrets(self, pair: B24OAuthParams, /) -> tuple[str, ...]:
        """What no message may repeat when a pair was sent: its tokens, those of the one before, the client secret."""
        return self._renewer.secrets_of(pair, self._settler.held.params, self._settler.previous)

    def base(self, pair: B24OAuthParams, dialect: Dialect, /) -> str:
        """The address that names of methods are appended to, if it may see the access token.

        Args:
            pair: The token pair used for the request.
            dialect: The version of the API.

        Raises:
            UntrustedHostError: It may not.
        """
        return rest_root(pair.client_endpoint, self._renewer.trusted_hosts) + dialect.path

    def fresh(self) -> B24OAuthParams | None:
        """The pair in use, or None when its access token has expired."""
        held, renewer = self._settler.held, self._renewer
        return held.params if held.is_fresh(wall_clock=renewer.wall_clock, loop_time=renewer.wire.loop_time) else None

    def ready(self) -> B24OAuthParams | None:
        """The current pair if it can be used immediately (valid, saved, no refresh running), otherwise None."""
        return self.fresh() if self._task is None and self._settler.unsaved is None else None

    async def get(self) -> B24OAuthParams:
        """A saved pair whose access token is valid; renews it at most once.

        Raises:
            RefreshTokenError: The pair could not be renewed.
            TokenPersistenceError: The renewed pair could not be saved.
            ClientStateError: Called from within the renewal itself, which is a deadlock; or the client is closed.
        """
        if self.is_inside():
            return self._pair_inside()
        # The client may have been closed while this call waited for the rate limit.
        self._renewer.wire.enter_loop()
        await self._checked()
        return self.ready() or await self._settled()

    async def after_refusal(self, refused: str, *, accepted: bool) -> B24OAuthParams | None:
        """Returns a replacement for a pair whose access token the portal rejected; refreshes at most once.

        Args:
            refused: The rejected access token. If it is no longer the current one, no refresh takes place.
            accepted: True when the portal accepted a token since it refused one last.

        Returns:
            A saved pair; None if a new pair would probably be rejected too.

        Raises:
            SdkError: As `get`.
        """
        if self.is_inside():
            return self._pair_inside(refused)
        now = self._renewer.wire.enter_loop().time()
        await self._checked()
        pair, held = self.ready(), self._settler.held
        if pair is not None and pair.access_token != refused:
            return pair
        if pair is None:
            return await self._settled()
        age = None if held.since is None else now - held.since
        # Raise a remembered rejection without a new request.
        renews = self._settler.is_refused(now) or self._allowance.take(age=age, accepted=accepted, now=now)
        return await self._other_than(refused, renews=renews)

    async def after_denial(self, denied: str, /) -> B24OAuthParams | None:
        """Returns a replacement for a pair for which v3 reported "access denied".

        Refreshes once if the token is old enough.

        Args:
            denied: The access token.

        Returns:
            A saved pair; None if the denial is due to the user's permissions.

        Raises:
            SdkError: As `get`.
        """
        if self.is_inside():
            return None
        now = self._renewer.wire.enter_loop().time()
        await self._checked()
        pair, held = self.ready(), self._settler.held
        if pair is None or pair.access_token != denied:
            return pair or await self._settled()
        since = self._renewer.wire.lifetime.entered_at if held.since is None else held.since
        renews = since is not None and now - since > self._doubt
        if renews:
            self._doubt = min(_LAST_DOUBT, self._doubt * 2)
        return await self._other_than(denied, renews=renews)

    def denial_was_of_the_token(self) -> None:
        """A call that was denied succeeded with another token: the next denial is worth a renewal soon."""
        self._doubt = _FIRST_DOUBT

    async def stored(self) -> B24OAuthParams:
        """The pair after a look into the store, which may have a new address of the portal. Raises as `renew`."""
        self.check_outside()
        self._renewer.wire.enter_loop()
        return self.params if self._settler.store is None else await self._settled(renews=False)

    async def renew(self) -> B24OAuthParams:
        """Returns a refreshed and saved pair even if the current one is still valid.

        The pair may come from another process's refresh.

        Raises:
            SdkError: As `get`.
        """
        self.check_outside()
        self._renewer.wire.enter_loop()
        await self._checked()
        pair = await self._settled()
        return await self._settled() if self.may_be_expired(pair) else pair

    def may_be_expired(self, pair: B24OAuthParams) -> bool:
        """True for a pair of the store in use that has expired by the wall clock, if that clock is right."""
        held = self._settler.held
        return held.was_found and pair is held.params and self._renewer.wall_clock() >= pair.expires

    def check_outside(self) -> None:
        """Refuses a wait for the renewal from within the renewal.

        Raises:
            ClientStateError: Called from within the renewal itself, which is a deadlock.
        """
        unsettled = self._task is not None or self._settler.unsaved is not None
        if self.is_inside() or (unsettled and self._is_locked_out()):
            raise would_wait_for_itself()

    async def aclose(self, *, timeout: float) -> None:
        """Waits for a pair that is being renewed or saved, and saves what is not saved yet.

        Cancellation does not shorten the wait: the old refresh token is already used up, so the new pair would be lost
        permanently.

        Args:
            timeout: How long to wait, seconds.

        Raises:
            TokenPersistenceError: The new pair could not be saved in time; call `aclose()` again to retry.
            ClientStateError: Called from within the renewal itself, which is a deadlock.
        """
        self.check_outside()
        settler = self._settler
        if self._task is None and settler.unsaved is not None:
            self._start(renews=False)
        cancelled = await self._waited_for_the_pair(timeout)
        lost = settler.lost_after(timeout) if self._task is not None else None
        if lost is not None:
            self._log.error(lost.message, member_id=self.params.member_id)
        if self._task is not None:
            self._ended_by_close = True
            self._task.cancel()
            with anyio.CancelScope(shield=True):
                try:
                    await asyncio.wait({self._task}, timeout=_GRACE)
                except asyncio.CancelledError as error:
                    cancelled = error
            for waiter in self._waiters:
                waiter.cancel()  # the callback or store did not stop although it was cancelled
        if cancelled is not None:
            raise cancelled
        if lost is not None:
            raise lost.error()
        if settler.unsaved is not None:
            raise (settler.failure or NotSaved("Saving the renewed token pair was cancelled")).error()

    async def _waited_for_the_pair(self, timeout: float) -> asyncio.CancelledError | None:
        """Waits while there is something to lose. A cancellation is given back, since it counts only afterwards."""
        loop, settler, cancelled = asyncio.get_running_loop(), self._settler, None
        end = loop.time() + timeout
        turns = 0
        with anyio.CancelScope(shield=True):
            while self._task is not None and settler.has_something_to_lose and turns < _LAST_TURNS:
                left = end - loop.time()
                try:
                    await (asyncio.wait({self._task}, timeout=left) if left > 0 else asyncio.sleep(0))
                except asyncio.CancelledError as error:
                    cancelled = error
                turns += left <= 0
        return cancelled

    async def _checked(self) -> None:
        """Waits while the task only looks into the store: what callers need, it may not bring."""
        while self._task is not None and self._work is not None and not self._work.renews:
            if self._is_locked_out():
                raise would_wait_for_itself()
            await asyncio.wait({self._task})

    async def _settled(self, *, renews: bool = True) -> B24OAuthParams:
        if self._is_locked_out():
            raise would_wait_for_itself()
        return await self._watch(self._task or self._start(renews=renews))

    async def _other_than(self, token: str, *, renews: bool) -> B24OAuthParams | None:
        if not renews and self._settler.store is None:
            return None
        pair = await self._settled(renews=renews)
        return None if pair.access_token == token else pair

    def _start(self, *, renews: bool) -> asyncio.Task[Outcome]:
        self._work = work = Work(renews)
        # Run in an empty context, so that the context variables of the first caller do not leak into the shared save
        # callback.
        task = asyncio.get_running_loop().create_task(
            self._settle(work), name="b24oauth renewal", context=contextvars.Context()
        )
        task.add_done_callback(self._forget)
        self._task = task
        if renews:
            work.report = RefreshReport.started(self._log, self.params, self.renewals)
        return task

    def _forget(self, task: asyncio.Task[Outcome]) -> None:
        work, self._work, self._task = self._work, None, None
        if not task.cancelled():
            # Retrieve the exception so asyncio does not log it. It can only be KeyboardInterrupt or SystemExit, which
            # the loop re-raises.
            task.exception()
        if work is not None:
            work.ended(task, self.renewals)

    async def _watch(self, task: asyncio.Task[Outcome]) -> B24OAuthParams:
        if self._work is not None and self._work.report is not None:
            self._work.report.awaited()
        waiter = asyncio.shield(task)
        self._waiters[waiter] = None
        try:
            outcome = await waiter
        except BaseException as error:
            if not self._ended_with_it(task, error):
                raise
            reason = "it was cancelled" if task.cancelled() else f"{type(error).__name__} ended it"
        else:
            if isinstance(outcome, B24OAuthParams):
                return outcome
            raise outcome.error()
        finally:
            del self._waiters[waiter]
        if self._ended_by_close:
            raise ClientStateError("This client was closed: make a new one", code="B24OAUTH_CLIENT_CLOSED")
        unsaved = self._settler.unsaved is not None
        if unsaved and self._settler.failure is not None:
            raise self._settler.failure.error()
        raise RefreshTokenError(f"The renewal brought no token pair: {reason}", code="B24OAUTH_RENEWAL_CANCELLED")

    def _ended_with_it(self, task: asyncio.Task[Outcome], error: BaseException) -> bool:
        """True when it was the renewal that ended so, or is given up, and not the waiter."""
        if isinstance(error, asyncio.CancelledError):
            here = asyncio.current_task()
            return (task.cancelled() or self._ended_by_close) and here is not None and not here.cancelling()
        return task.done() and not task.cancelled() and task.exception() is error

    async def _settle(self, work: Work) -> Outcome:
        """Saves what is not saved yet; else takes the store's pair, or renews and saves."""
        settler, ours = self._settler, self._settler.held
        WORK_OF_THIS_CONTEXT.set(work)
        async with self._lock:
            unsaved = settler.unsaved
            if unsaved is not None and (settler.store is None or unsaved.store_done):
                return await settler.save(unsaved)
            if settler.store is None:
                return await settler.settle(ours, renews=work.renews)
            task = asyncio.current_task()
            try:
                async with AsyncExitStack() as stack:
                    leased = settler.store.lease(settler.key, seconds=LEASE_SECONDS)
                    lease = await held_unless(settler.finds_a_fresh_pair, leased, stack, self._log)
                    if lease is None:
                        return await settler.settle(ours, renews=False)
                    work.leased = settler.store, settler.key
                    async with extended(lease, self._log):
                        return await settler.settle(ours, renews=work.renews)
            except BaseException as error:  # every waiter gets what the store raises
                if is_own_cancellation(error, task):
                    raise
                failure = settler.failed("The token store failed", error, ours.params)
                if ends_the_program(error):
                    raise
                return failure

    def is_inside(self) -> bool:
        """True for a callback of the renewal under way, and for everything it calls."""
        return self._work is not None and WORK_OF_THIS_CONTEXT.get(None) is self._work

    def _is_locked_out(self) -> bool:
        """True within another client's renewal that holds the lease our renewal would wait for."""
        return is_leased_here(self._settler.store, self._settler.key)

    def _pair_inside(self, refused: str | None = None) -> B24OAuthParams:
        """The pair for a callback that calls the API itself: the one it is to save."""
        unsaved = self._settler.unsaved if self._settler.is_saving else None
        pair = self.fresh() if unsaved is None else unsaved.held.params
        if pair is None or pair.access_token == refused:
            raise would_wait_for_itself()
        return pair
