"""The namespaces `b24.actions.v2` and `b24.actions.v3`; each action object is created on first use."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from b24oauth.actions.call import Call
from b24oauth.rest.client import HttpClient

if TYPE_CHECKING:
    from b24oauth.actions.aggregate import Aggregate
    from b24oauth.actions.batch import Batch, BatchByChunk
    from b24oauth.actions.lists import CallList, CallListV3, CallTail, FetchList, FetchListV3, FetchTail

__all__ = ["ActionsManager", "ActionsV2", "ActionsV3"]


class ActionsV2:
    """`b24.actions.v2`."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    @cached_property
    def call(self) -> Call:
        """A single REST call."""
        return Call(self._http)

    @cached_property
    def batch(self) -> Batch:
        """Up to 50 commands in one request."""
        from b24oauth.actions.batch import Batch

        return Batch(self._http)

    @cached_property
    def batch_by_chunk(self) -> BatchByChunk:
        """Any number of commands, 50 per request."""
        from b24oauth.actions.batch import BatchByChunk

        return BatchByChunk(self._http)

    @cached_property
    def call_list(self) -> CallList:
        """All rows of a list."""
        from b24oauth.actions.lists import CallList

        return CallList(self._http)

    @cached_property
    def fetch_list(self) -> FetchList:
        """The pages of a list, one after another."""
        from b24oauth.actions.lists import FetchList

        return FetchList(self._http)


class ActionsV3:
    """`b24.actions.v3`."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    @cached_property
    def call(self) -> Call:
        """A single REST call."""
        return Call(self._http)

    @cached_property
    def batch(self) -> Batch:
        """Up to 50 commands in one request."""
        from b24oauth.actions.batch import Batch

        return Batch(self._http)

    @cached_property
    def batch_by_chunk(self) -> BatchByChunk:
        """Any number of commands, 50 per request."""
        from b24oauth.actions.batch import BatchByChunk

        return BatchByChunk(self._http)

    @cached_property
    def call_list(self) -> CallListV3:
        """All rows of a list."""
        from b24oauth.actions.lists import CallListV3

        return CallListV3(self._http)

    @cached_property
    def fetch_list(self) -> FetchListV3:
        """The pages of a list, one after another."""
        from b24oauth.actions.lists import FetchListV3

        return FetchListV3(self._http)

    @cached_property
    def call_tail(self) -> CallTail:
        """All rows of a `*.tail` method."""
        from b24oauth.actions.lists import CallTail

        return CallTail(self._http)

    @cached_property
    def fetch_tail(self) -> FetchTail:
        """The pages of a `*.tail` method, one after another."""
        from b24oauth.actions.lists import FetchTail

        return FetchTail(self._http)

    @cached_property
    def aggregate(self) -> Aggregate:
        """Aggregates computed by the portal."""
        from b24oauth.actions.aggregate import Aggregate

        return Aggregate(self._http)


class ActionsManager:
    """`b24.actions`.

    Attributes:
        v2: Actions of REST v2.
        v3: Actions of REST v3.
    """

    def __init__(self, v2: HttpClient, v3: HttpClient) -> None:
        self.v2 = ActionsV2(v2)
        self.v3 = ActionsV3(v3)
