"""Holds the token pair and renews it once, whoever asks and however many; what a pair is, others know.

The renewal is a task that the keeper owns: waiters watch it and may be cancelled, it goes on. It returns an outcome
instead of raising, so that each waiter raises an error of its own. A renewed pair becomes visible only after the store
and the callback have seen it.
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


_JUDGES: Final = (("server_endpoint", oauth_token_url), ("client_endpoint", rest_root))
_Outcome: TypeAlias = B24OAuthParams | Refusal | _NotSaved

# Which piece of work the current code runs in, to tell a callback that calls the API from everybody else.
_work_of_this_context: Final[contextvars.ContextVar[object]] = contextvars.ContextVar("b24oauth_renewal")


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
        self._unsaved: UnsavedPair | None = None
        self._refused: tuple[str, Refusal] | None = None
        self._task: asyncio.Task[_Outcome] | None = None
        self._work: object | None = None
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
        self._held = HeldPair(params)
        self._unsaved = None
        self._refused = None

    def fresh(self) -> B24OAuthParams | None:
        """The pair in use, or None when its access token has expired."""
        loop_time = self._renewer.wire.loop_time()
        fresh = self._held.is_fresh(wall_clock=self._renewer.wall_clock(), loop_time=loop_time)
        return self._held.params if fresh else None

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
        return await self._watch(self._task or self._start())

    async def renew(self) -> B24OAuthParams:
        """A renewed and saved pair, even when the one in use is still valid.

        Raises:
            RefreshTokenError: The pair could not be renewed.
            TokenPersistenceError: The renewed pair could not be saved.
            ClientStateError: Asked from inside of the renewal, which would wait for itself, or of a closed client.
        """
        self.check_outside()
        self._renewer.wire.enter_loop()
        return await self._watch(self._task or self._start())

    def check_outside(self) -> None:
        """Refuses what would wait for the renewal from inside of it.

        Raises:
            ClientStateError: Asked from inside of the renewal, which would wait for itself.
        """
        if self.is_inside():
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
        self._work = object()
        _work_of_this_context.set(self._work)
        async with self._lock:
            if self._unsaved is not None:
                return await self._save(self._unsaved)
            if self._store is None:
                return await self._renew()
            try:
                async with self._store.lock(self._held.params.member_id):
                    return await self._adopted() or await self._renew()
            except BaseException as error:  # whatever a store raises reaches every waiter
                if ends_the_task(error):
                    raise
                return self._failure("The token store failed", error, self._held.params)

    async def _renew(self) -> _Outcome:
        pair = self._held.params
        if self._refused is not None and self._refused[0] == pair.refresh_token:
            return self._refused[1]
        outcome = await self._renewer.renew(pair)
        if self._held.params is not pair:
            return self._held.params  # set_params came in between: what people set wins
        if isinstance(outcome, Refusal):
            if outcome.lost and outcome.final and (adopted := await self._adopted()):
                return adopted
            self._refused = (pair.refresh_token, outcome) if outcome.final else None
            return outcome
        self.renewals += 1
        received = self._with_trusted_endpoints(outcome, pair)
        arrival = asyncio.get_running_loop().time()
        self._unsaved = UnsavedPair(HeldPair(received, fresh_until=arrival + received.expires_in))
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
            self._held, self._unsaved = unsaved.held, None
        return self._held.params

    async def _adopted(self) -> B24OAuthParams | None:
        """The store's pair when it is valid and another one than ours; one that has expired becomes ours to renew."""
        stored = await self._store.load(self._held.params.member_id) if self._store is not None else None
        ours = self._held.params
        if stored is None or stored.refresh_token == ours.refresh_token or stored.expires < ours.expires:
            return None
        self._held = HeldPair(self._with_trusted_endpoints(stored, ours))
        return self.fresh()

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

    # --- called from inside of the renewal -------------------------------------------------------------------------

    def is_inside(self) -> bool:
        """True for a callback of the renewal under way, and for whatever it calls."""
        return self._work is not None and _work_of_this_context.get(None) is self._work

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
