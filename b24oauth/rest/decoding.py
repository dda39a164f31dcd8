"""Decodes large responses between the turns of other tasks."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from b24oauth.protocol.large import decoded_in_steps

__all__ = ["decoded_in_turns"]

# Bytes to work on before other tasks get a turn: about a millisecond of work.
_AT_ONCE: Final = 128 * 1024


async def decoded_in_turns(body: bytes, one_at_a_time: asyncio.Lock) -> Any:
    """Decodes JSON, and lets other tasks run in between.

    Args:
        body: The bytes of a response.
        one_at_a_time: Held meanwhile, so that responses that came together do not take their turns together.

    Returns:
        The value, or None when the bytes are not JSON.
    """
    async with one_at_a_time:
        steps, worked = decoded_in_steps(body), 0
        while True:
            try:
                worked += next(steps)
            except StopIteration as end:
                return end.value
            if worked >= _AT_ONCE:
                worked = 0
                await asyncio.sleep(0)  # other tasks get their turn, and a cancellation takes effect here
