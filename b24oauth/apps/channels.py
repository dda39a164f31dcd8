"""The calls of a channel of offline events, with what must be known to make them without losing events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from b24oauth.apps.batches import OfflineEvent, read_events
from b24oauth.client import B24OAuth
from b24oauth.errors import AjaxError, InvalidDataError, SdkError
from b24oauth.shapes import as_mapping, is_mapping

__all__ = ["FeatureMissingError", "OfflineChannel"]

_FEATURE: Final = "rest_offline_extended"
# The portal refuses other ones.
_MESSAGE_ID_LENGTH: Final = 32


class FeatureMissingError(SdkError):
    """The plan of a portal lacks a feature.

    Attributes:
        member_id: The portal.
        feature: The feature, as `feature.get` names it.
    """

    def __init__(self, message: str, *, member_id: str, feature: str) -> None:
        super().__init__(message, code="B24OAUTH_FEATURE_MISSING")
        self.member_id, self.feature = member_id, feature


class OfflineChannel:
    """Offline events of one portal and connector: those that wait, or those that have failed.

    Args:
        b24: The client; its pair must be an administrator's.
        connector: `auth_connector`; empty for none.
        failed: Whether it is about events that have failed.
        limit: How many events are reserved together.

    Attributes:
        limit: The same.

    Source: https://apidocs.bitrix24.com/api-reference/events/offline-events.html
    """

    def __init__(self, b24: B24OAuth, *, connector: str, failed: bool, limit: int) -> None:
        self._b24 = b24
        self._failed = failed
        self.limit = limit
        # A call without it is about another queue.
        self._connector: Mapping[str, Any] = {"auth_connector": connector} if connector else {}

    async def check_feature(self) -> None:
        """Asks whether the portal reserves events.

        Raises:
            FeatureMissingError: It does not.
        """
        answer = await self._b24.call("feature.get", {"CODE": _FEATURE})
        if as_mapping(answer).get("value") == "N":
            raise self._missing()

    async def open_processes(self) -> list[str]:
        """The reservations that have events, the oldest first.

        The portal gives the events of a reservation to nobody else and deletes them after about a month.
        """
        # The filter takes no `!`. An empty text is less than any identifier.
        params = {**self._connector, "filter": {">PROCESS_ID": "", "ERROR": int(self._failed)}}
        processes: dict[str, None] = {}
        async for row in self._b24.rows("event.offline.list", params):
            # Later versions of a portal may ignore a filter.
            is_failed = str(row.get("ERROR") or 0) == "1"
            if row.get("PROCESS_ID") and is_failed == self._failed:
                processes[str(row["PROCESS_ID"])] = None
        return list(processes)

    async def reserve(self) -> tuple[str, tuple[OfflineEvent, ...]]:
        """Reserves waiting events: the reservation and its events, maybe none.

        It is not repeated when the response is lost: the events are reserved then, and `open_processes` finds them.

        Raises:
            AmbiguousResultError: The response was lost.
            FeatureMissingError: The portal does not reserve events.
        """
        try:
            return await self._get({"clear": 0})
        except AjaxError as error:
            if error.code != "WRONG_LICENSE":
                raise
        raise self._missing()

    async def resume(self, process_id: str, limit: int) -> tuple[OfflineEvent, ...]:
        """The events that are left of a reservation.

        Args:
            process_id: The reservation.
            limit: How many events are returned at most.
        """
        _, events = await self._get({"clear": 0, "process_id": process_id, "limit": limit}, idempotent=True)
        return events

    async def take(self) -> tuple[OfflineEvent, ...]:
        """Removes waiting events from the queue and returns them.

        Raises:
            AmbiguousResultError: The response was lost, and the events with it.
        """
        _, events = await self._get({"clear": 1})
        return events

    async def clear(self, process_id: str, events: Sequence[OfflineEvent]) -> None:
        """Removes events of a reservation, those that are named only.

        Args:
            process_id: The reservation.
            events: The events.
        """
        message_ids = [event.message_id for event in events]
        names: dict[str, Any]
        if all(len(message_id) == _MESSAGE_ID_LENGTH for message_id in message_ids):
            # The documentation and the portal's code differ in which of both counts: one of them is sent.
            names = {"message_id": message_ids}
        else:
            names = {"id": [event.id for event in events]}
        await self._settle("event.offline.clear", process_id, names)

    async def mark(self, process_id: str, events: Sequence[OfflineEvent]) -> None:
        """Marks events of a reservation as failed, and frees them.

        Args:
            process_id: The reservation.
            events: The events.
        """
        await self._settle("event.offline.error", process_id, {"message_id": [event.message_id for event in events]})

    async def _settle(self, method: str, process_id: str, names: Mapping[str, Any]) -> None:
        # Once it was done, the same call finds nothing more to do.
        await self._b24.call(method, {**self._connector, "process_id": process_id, **names}, idempotent=True)

    async def _get(
        self, params: Mapping[str, Any], *, idempotent: bool = False
    ) -> tuple[str, tuple[OfflineEvent, ...]]:
        failed = {"error": 1} if self._failed else {}
        answer = await self._b24.call(
            "event.offline.get",
            {**self._connector, "limit": self.limit, **failed, **params},
            idempotent=idempotent,
        )
        if not is_mapping(answer):
            raise InvalidDataError("The response of event.offline.get", ["must be a mapping"])
        events = read_events(answer.get("events"))
        process_id = answer.get("process_id")
        if events and params["clear"] == 0 and not (process_id and isinstance(process_id, str)):
            raise InvalidDataError("The response of event.offline.get", ["process_id is missing"])
        return str(process_id or ""), events

    def _missing(self) -> FeatureMissingError:
        member_id = self._b24.auth.get_params().member_id
        return FeatureMissingError(
            f"The plan of portal {member_id} lacks {_FEATURE}, so that offline events cannot be reserved. Use another "
            "plan, or at_most_once=True, with which events can be lost",
            member_id=member_id,
            feature=_FEATURE,
        )
