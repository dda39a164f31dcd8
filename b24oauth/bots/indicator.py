"""Shows that a bot is writing while it works."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Self

from b24oauth.errors import SdkError

if TYPE_CHECKING:
    from b24oauth.bots.talking import Talk

__all__ = ["Typing"]

# The indicator is shown for so long, and asked for again before that, seconds.
_SHOWN: Final = 30
_AGAIN: Final = 25.0


class Typing:
    """Shows that a bot is writing, as long as the block lasts. It ends with the next message, or within 30 seconds.

    Args:
        talk: Of the bot.
        dialog_id: Where it is shown.
        status: Code of what the bot does; None for writing.
    """

    def __init__(self, talk: Talk, dialog_id: str, status: str | None = None) -> None:
        self._talk, self._dialog_id, self._status = talk, dialog_id, status
        self._repeating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._show()
        self._repeating = asyncio.get_running_loop().create_task(self._repeat(), name="b24oauth typing")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._repeating is not None:
            self._repeating.cancel()
            await asyncio.wait({self._repeating})
            if not self._repeating.cancelled():
                self._repeating.result()  # raises what it did not expect

    async def _show(self) -> None:
        params = {"dialogId": self._dialog_id, "duration": _SHOWN}
        if self._status is not None:
            params["statusMessageCode"] = self._status
        # It is late by the time that it could be repeated.
        await self._talk.call("Chat.InputAction.notify", params, max_attempts=1)

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(_AGAIN)
            try:
                await self._show()
            except SdkError as error:
                # The work that it is shown for goes on without it.
                text = f"The typing indicator of a bot could not be shown: {error}"
                self._talk.b24.get_logger().warning(text, extra={})
