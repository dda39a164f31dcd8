"""The names under which actions are found."""

from __future__ import annotations

from b24oauth.actions.batch import Batch, BatchByChunk
from b24oauth.actions.call import Call
from b24oauth.http.client import HttpClient

__all__ = ["ActionsManager", "ActionsV2", "ActionsV3"]


class ActionsV2:
    """`b24.actions.v2`.

    Attributes:
        call: One method, called once.
        batch: Up to 50 commands in one request.
        batch_by_chunk: Any number of commands.
    """

    def __init__(self, http: HttpClient) -> None:
        self.call = Call(http)
        self.batch = Batch(http)
        self.batch_by_chunk = BatchByChunk(http)


class ActionsV3:
    """`b24.actions.v3`.

    Attributes:
        call: One method, called once.
        batch: Up to 50 commands in one request.
        batch_by_chunk: Any number of commands.
    """

    def __init__(self, http: HttpClient) -> None:
        self.call = Call(http)
        self.batch = Batch(http)
        self.batch_by_chunk = BatchByChunk(http)


class ActionsManager:
    """`b24.actions`.

    Attributes:
        v2: Actions of REST v2.
        v3: Actions of REST v3.
    """

    def __init__(self, v2: HttpClient, v3: HttpClient) -> None:
        self.v2 = ActionsV2(v2)
        self.v3 = ActionsV3(v3)
