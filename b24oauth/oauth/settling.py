"""What one run of the renewal does: reads the store, requests a new pair, saves it; one run at a time.

Which pair is used is decided in `pairs`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import attrs

from b24oauth.errors import ConfigurationError, StoreConflictError
from b24oauth.events import PairNotSaved, PortalMoved, RefreshFailed, TokenRefreshed, UserChanged
from b24oauth.models import B24OAuthParams, RefreshedAuth
from b24oauth.oauth.exchange import Refusal
from b24oauth.oauth.moving import move_other_pairs
from b24oauth.oauth.outcomes import NotSaved, Outcome
from b24oauth.oauth.pair import HeldPair, UnsavedPair, auth_data_of, check_pair, is_timestamp, with_trusted_endpoints
from b24oauth.oauth.pairs import Stored, Use, after_refusal, decide, is_of_user, judge_stored
from b24oauth.oauth.renewal import (
    Renewer,
    ends_the_program,
    is_own_cancellation,
    maybe_await,
    safe_cause,
    what_happened,
)
from b24oauth.oauth.restraint import RefusedTokens
from b24oauth.observing import Log
from b24oauth.protocol.endpoints import host_of
from b24oauth.scrubbing import scrub
from b24oauth.storing import TokenKey, TokenStore

__all__ = ["CallbackRefreshAuth", "Settler"]

CallbackRefreshAuth = Callable[[RefreshedAuth], Awaitable[object] | object]

# Maximum number of revision conflicts tolerated while saving one pair.
_CONFLICTS: Final = 3


class Settler:
    """The current token pair and the steps to obtain a new one.

    Uses `__slots__` so that `vars()` does not expose tokens.

    Args:
        params: The pair to start with.
        renewer: Obtains a new pair.
        store: Where pairs outlive the process.
        log: Gets a message about each part of a response that is ignored.

    Attributes:
        callback: Called with each renewed pair.
        renewals: How many pairs were obtained.
        held: The pair in use.
        previous: The pair before it.
        unsaved: A renewed pair that the store and the callback have not both seen.
        is_asking: True from the request for a new pair to its outcome.
        is_saving: True while the store or the callback gets a new pair.
        failure: Why the last save failed.
        key: Store key of the pair; constant.
    """

    __slots__ = (
        "_fallback",
        "_in_store",
        "_log",
        "_moved",
        "_prefer_held",
        "_refused",
        "_renewer",
        "_revision",
        "callback",
        "failure",
        "held",
        "is_asking",
        "is_saving",
        "key",
        "previous",
        "renewals",
        "store",
        "unsaved",
    )

    def __init__(self, params: B24OAuthParams, renewer: Renewer, *, store: TokenStore | None, log: Log) -> None:
        self.callback: CallbackRefreshAuth | None = None
        self.renewals = 0
        self.held = HeldPair(params)
        self.previous = params
        self.unsaved: UnsavedPair | None = None
        self.is_asking = False
        self.is_saving = False
        self.failure: NotSaved | None = None
        self.store = store
        self.key = TokenKey(renewer.secret.client_id, params.member_id, renewer.user_id)
        self._renewer = renewer
        self._log = log
        self._prefer_held = False
        self._fallback: HeldPair | None = None
        self._refused = RefusedTokens()
        # Refresh token and revision of what the store held when it was read last.
        self._in_store: str | None = None
        self._moved: B24OAuthParams | None = None
        self._revision: str | None = None

    @property
    def has_something_to_lose(self) -> bool:
        """True when ending now would lose a pair: it is being renewed, or is not saved yet."""
        return self.is_asking or self.unsaved is not None

    def lost_after(self, seconds: float) -> NotSaved | None:
        """Returns a failure if the client is closed before a running refresh or save finished, otherwise None.

        Args:
            seconds: How long it waited.
        """
        if not self.has_something_to_lose:
            return None
        params = self.held.params
        portal = f"portal {params.member_id or 'without a member_id'} ({host_of(params.client_endpoint)})"
        if self.unsaved is None:
            what, lost = "renewing", "the OAuth server may have made a new pair, which is lost, and ended the old one"
        elif self.unsaved.store_done:
            what, lost = "saving", "the token store has the renewed pair; the callback has not finished with it"
        else:
            what, lost = "saving", "the renewed pair is lost with this process, unless saving it ends well after all"
        return NotSaved(
            f"The client of {portal} was closed, and {what} its token pair took longer than {seconds:g} s: {lost}"
        )

    def set(self, params: B24OAuthParams, *, since: float | None) -> None:
        """Uses another pair from now on; forgets refusals, an unsaved pair, and what a renewal under way brings.

        Args:
            params: The pair.
            since: Loop time, seconds.

        Raises:
            ConfigurationError: It is of another portal, or not of the user that the client is for.
            UntrustedHostError: An endpoint of it must not see a secret.
        """
        check_pair(params, self._renewer.trusted_hosts)
        ours = self.held.params.member_id
        if ours and params.member_id and params.member_id != ours:
            raise ConfigurationError(
                f"member_id: the pair is of portal {params.member_id}, and this client is of {ours}: "
                "make a client for each portal"
            )
        if not is_of_user(params.user_id, self.key):
            raise ConfigurationError(
                f"user_id: the pair is of user {params.user_id}, and this client is for {self.key.user_id}"
            )
        self._hold(HeldPair(params if params.member_id else attrs.evolve(params, member_id=ours), since=since))
        self._prefer_held = True
        self._fallback = None
        self.unsaved = None
        self._refused.clear()

    def is_refused(self, now: float) -> bool:
        """True if the current pair must not be used for a refresh request because the OAuth server rejected it.

        Args:
            now: Loop time, seconds.
        """
        return self._refused.standing(self.held.params.refresh_token, now=now) is not None

    async def settle(self, ours: HeldPair, *, renews: bool) -> Outcome:
        """Saves what is not saved yet; else takes the store's pair, or renews and saves. Needs the store's lease.

        Args:
            ours: The pair in use when the run began.
            renews: If False, only read the store and make no token request.
        """
        found = await self._found()
        if self.held is not ours:
            return self.held.params  # set_params() was called meanwhile; its pair takes precedence
        ours = self._with_stored_address(ours)
        unsaved = self.unsaved
        use = decide(
            stored=found is not None,
            unsaved=unsaved is not None,
            may_replace=unsaved is not None and found is not None and unsaved.may_replace(found),
            prefer_held=self._prefer_held,
            renews=renews,
        )
        if use is Use.UNSAVED and unsaved is not None:
            return await self.save(unsaved)
        if use is Use.STORED and found is not None:
            if unsaved is not None:
                self._fallback, self.unsaved = unsaved.held, None
            return self._adopt(found)
        return await self._renew(ours) if use is Use.RENEWED else ours.params

    def _with_stored_address(self, ours: HeldPair) -> HeldPair:
        """The pair in use, at the address that another client of the portal has learned and stored."""
        stored, held = self._moved, ours.params
        if stored is not None and not self._prefer_held and stored.client_endpoint != held.client_endpoint:
            moved = attrs.evolve(held, client_endpoint=stored.client_endpoint, domain=stored.domain)
            self.held = attrs.evolve(ours, params=self._with_trusted_endpoints(moved, held))
        return self.held

    async def finds_a_fresh_pair(self) -> bool:
        """True when another process has saved a pair that is valid, so that none needs to be requested."""
        if self.unsaved is not None:
            return False
        found = await self._found()
        return found is not None and found.expires > self._renewer.wall_clock()

    async def _found(self) -> B24OAuthParams | None:
        """The store's pair when it is another one than ours, of the same portal, and was not refused for good."""
        if self.store is None:
            return None
        ours = self.held.params
        found = await self.store.load(self.key)
        stored = None if found is None else found.params
        self._in_store = None if stored is None else stored.refresh_token
        self._revision = None if found is None else found.revision
        judged = judge_stored(stored, ours, self.key, self._refused.is_final)
        if stored is not None and judged is Stored.FOREIGN:
            self._log.error(
                f"The token store holds a pair of another portal or user for {self._whose}: it is not used",
                member_id=self.key.member_id,
                found=stored.member_id,
            )
        self._moved = stored if judged is Stored.OURS else None
        if stored is None or judged is not Stored.OTHER:
            return None
        if not stored.member_id:
            stored = attrs.evolve(stored, member_id=self.key.member_id)
        if not is_timestamp(stored.expires):
            stored = attrs.evolve(stored, expires=int(self._renewer.wall_clock()) + stored.expires_in)
        return self._with_trusted_endpoints(stored, ours)

    def _adopt(self, found: B24OAuthParams) -> B24OAuthParams:
        if self.held.was_given:
            self._fallback = self._fallback or self.held
        wall_clock, loop_time = self._renewer.wall_clock(), asyncio.get_running_loop().time()
        self._hold(HeldPair.found(found, wall_clock=wall_clock, loop_time=loop_time))
        self._prefer_held = False
        return found

    async def _renew(self, pair: HeldPair) -> Outcome:
        ours, token, loop = self.held, pair.params.refresh_token, asyncio.get_running_loop()
        refusal = self._refused.standing(token, now=loop.time())
        is_new = refusal is None
        if refusal is None:
            outcome = await self._asked(pair.params)
            if self.held is not ours:
                return self.held.params
            if isinstance(outcome, UnsavedPair):
                return await self.save(outcome)
            refusal = outcome
            if refusal.final or refusal.answered:
                self._refused.add(token, refusal, now=loop.time())
        if refusal.final:
            found = await self._found()
            if self.held is not ours:
                return self.held.params
            fallback, self._fallback = self._fallback, None
            use = after_refusal(stored=found is not None, fallback=fallback is not None)
            if use is Use.STORED and found is not None:
                self._fallback = fallback
                return self._adopt(found)
            if use is Use.FALLBACK and fallback is not None:
                return await self._renew(fallback)
        return self._refused_by(refusal, is_new=is_new)

    def _refused_by(self, refusal: Refusal, *, is_new: bool) -> Refusal:
        """The refusal; an observer learns of each once, and not again of one that is remembered."""
        level = logging.ERROR if refusal.final else logging.WARNING
        if is_new and self._log.is_enabled_for(level):
            self._log.emit(
                RefreshFailed(
                    level=level,
                    member_id=self.key.member_id,
                    status=refusal.status,
                    error_code=refusal.code,
                    error_text=refusal.message,
                    needs_reauth=refusal.final,
                )
            )
        return refusal

    async def _asked(self, pair: B24OAuthParams) -> UnsavedPair | Refusal:
        ours, self.is_asking = self.held, True
        asked_at = asyncio.get_running_loop().time()
        try:
            outcome = await self._renewer.renew(pair)
        finally:
            self.is_asking = False
        if isinstance(outcome, Refusal):
            return outcome
        received = self._with_trusted_endpoints(outcome, pair)
        arrival = asyncio.get_running_loop().time()
        unsaved = UnsavedPair(
            HeldPair(received, fresh_until=arrival + received.expires_in, since=arrival),
            asked_at=asked_at,
            replaces=self._in_store,
        )
        if self.held is ours:
            self.renewals += 1
            self.unsaved, self._prefer_held = unsaved, False
        return unsaved

    async def save(self, unsaved: UnsavedPair) -> Outcome:
        """Passes a new pair to the store and to the callback, once each, and then makes it the current pair.

        When somebody else has stored a pair meanwhile, since the lease ended while this process was stopped, that pair
        is used: it was renewed later.
        """
        task, self.is_saving = asyncio.current_task(), True
        try:
            if self.store is not None and not unsaved.store_done:
                self._revision = await self.store.save(self.key, unsaved.held.params, expected=self._revision)
                unsaved.store_done = True
            if self.callback is not None and not unsaved.callback_done:
                params = unsaved.held.params
                await maybe_await(self.callback(RefreshedAuth(auth_data=auth_data_of(params), b24_oauth_params=params)))
                unsaved.callback_done = True
        except BaseException as error:  # every waiter gets what the application's code raises
            if is_own_cancellation(error, task):
                raise
            if isinstance(error, StoreConflictError) and unsaved.conflicts < _CONFLICTS:
                unsaved.conflicts += 1
                return await self.settle(self.held, renews=False)
            what = "The renewed token pair could not be saved; it is kept and saved again before the next call"
            failure = self.failed(what, error, unsaved.held.params)
            if ends_the_program(error):
                raise
            return failure
        finally:
            self.is_saving = False
        if self.unsaved is unsaved:
            self._hold(unsaved.held)
            self.unsaved = self._fallback = None
            self._refused.clear()
            self._tell_of_renewal(unsaved)
            await self._move_others()
        return self.held.params

    async def _move_others(self) -> None:
        """Gives a new address of the portal to the stored pairs of its other users."""
        moved = self.held.params
        if self.store is None or moved.client_endpoint == self.previous.client_endpoint:
            return
        try:
            await move_other_pairs(self.store, self.key, moved)
        except Exception as error:  # noqa: BLE001 - the renewal is done; other clients learn the address by their own
            secrets = self._renewer.secrets_of(moved, self.previous)
            what = "The new address of the portal could not be saved with the pairs of its other users"
            self._log.warning(f"{what}: {what_happened(error, secrets)}", member_id=self.key.member_id)

    def _tell_of_renewal(self, saved: UnsavedPair) -> None:
        if not self._log.is_enabled_for(logging.INFO):
            return
        seconds = asyncio.get_running_loop().time() - saved.asked_at
        member_id = self.key.member_id
        self._log.emit(TokenRefreshed(member_id=member_id, seconds=seconds))
        before, after = (host_of(pair.client_endpoint) for pair in (self.previous, saved.held.params))
        if before != after:
            self._log.emit(PortalMoved(member_id=member_id, before=before, after=after))
        user, now = self.previous.user_id, saved.held.params.user_id
        if user and user != now:
            self._log.emit(UserChanged(member_id=member_id, before=user, after=now))

    def failed(self, what: str, error: BaseException, pair: B24OAuthParams) -> NotSaved:
        """Stores the failure of the application's store or callback, with secrets masked.

        Args:
            what: What could not be done.
            error: What was raised.
            pair: The pair it was about.
        """
        secrets = self._renewer.secrets_of(pair, self.held.params)
        self.failure = NotSaved(f"{what}: {what_happened(error, secrets)}", safe_cause(error, secrets))
        self._log.emit(PairNotSaved(member_id=self.key.member_id, error_text=self.failure.message))
        return self.failure

    @property
    def _whose(self) -> str:
        user = "" if self.key.user_id is None else f", user {self.key.user_id}"
        return f"portal {self.key.member_id}{user}"

    def _hold(self, held: HeldPair) -> None:
        self.previous, self.held = self.held.params, held

    def _with_trusted_endpoints(self, received: B24OAuthParams, before: B24OAuthParams) -> B24OAuthParams:
        """Returns the pair, replacing untrusted endpoint URLs by those of the previous pair."""
        pair, untrusted = with_trusted_endpoints(received, before, self._renewer.trusted_hosts)
        for name, host in untrusted:
            shown = scrub(host, self._renewer.secrets_of(received, before))
            self._log.warning(
                f"A pair of {self._whose} names an untrusted {name}, the old one is kept: {shown}",
                host=shown,
            )
        return pair
