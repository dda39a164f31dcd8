"""The names under which actions are found."""

from __future__ import annotations

from b24oauth.actions.aggregate import Aggregate
from b24oauth.actions.batch import Batch, BatchByChunk
from b24oauth.actions.call import Call
from b24oauth.actions.lists import CallList, FetchList
from b24oauth.actions.lists_v3 import CallListV3, CallTail, FetchListV3, FetchTail
from b24oauth.http.client import HttpClient

__all__ = ["ActionsManager", "ActionsV2", "ActionsV3"]


class ActionsV2:
    """`b24.actions.v2`.

    Attributes:
        call: One method, called once.
        batch: Up to 50 commands in one request.
        batch_by_chunk: Any number of commands.
        call_list: All rows of a list.
        fetch_list: The pages of a list as they come.
    """

    def __init__(self, http: HttpClient) -> None:
        self.call = Call(http)
        self.batch = Batch(http)
        self.batch_by_chunk = BatchByChunk(http)
        self.call_list = CallList(http)
        self.fetch_list = FetchList(http)


class ActionsV3:
    """`b24.actions.v3`.

    Attributes:
        call: One method, called once.
        batch: Up to 50 commands in one request.
        batch_by_chunk: Any number of commands.
        call_list: All rows of a list.
        fetch_list: The pages of a list as they come.
        call_tail: All rows of a `*.tail` method.
        fetch_tail: The pages of a `*.tail` method as they come.
        aggregate: Sums and counts made by the portal.
    """

    def __init__(self, http: HttpClient) -> None:
        self.call = Call(http)
        self.batch = Batch(http)
        self.batch_by_chunk = BatchByChunk(http)
        self.call_list = CallListV3(http)
        self.fetch_list = FetchListV3(http)
        self.call_tail = CallTail(http)
        self.fetch_tail = FetchTail(http)
        self.aggregate = Aggregate(http)


class ActionsManager:
    """`b24.actions`.

    Attributes:
        v2: Actions of REST v2.
        v3: Actions of REST v3.
    """

    def __init__(self, v2: HttpClient, v3: HttpClient) -> None:
        self.v2 = ActionsV2(v2)
        self.v3 = ActionsV3(v3)
