"""Errors of an application's handlers: which there are, and how they are reported."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from b24oauth.errors import SdkError

__all__ = ["called", "report", "shown"]

T = TypeVar("T")


async def called(function: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """Calls a handler. If it raises CancelledError although nobody cancels this task, that is an error like others.

    Args:
        function: The handler.
        arguments: Its arguments.

    Raises:
        SdkError: The handler raised CancelledError by itself, for example from a task of its own.
    """
    try:
        return await function(*arguments)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        problem = SdkError("A handler raised CancelledError", code="B24OAUTH_HANDLER")
        # The log names the handler's line, not this one.
        raise problem.with_traceback(error.__traceback__) from error


async def report(
    on_error: Callable[[Exception, Any], object] | None,
    error: Exception,
    subject: object,
    *,
    log: Callable[[str], object],
    place: str,
) -> None:
    """Calls the application's handler of errors, or writes to the log. An error of that handler is logged too.

    Args:
        on_error: The application's handler of errors, async or plain; None for the log.
        error: The error.
        subject: What was handled; the second argument of `on_error`.
        log: Writes a message to the log.
        place: Begins the message, for example ``A handler of ONCRMDEALADD``.
    """
    if on_error is None:
        log(f"{place} failed: {shown(error)}")
        return

    async def notify() -> None:
        outcome = on_error(error, subject)
        if inspect.isawaitable(outcome):
            await outcome

    try:
        await called(notify)
    except Exception as other:  # noqa: BLE001 - it must not keep other handlers from being called
        log(f"The handler of errors failed: {shown(other)}. {place} failed before: {shown(error)}")


def shown(error: BaseException) -> str:
    """The text of an error for the log: its type and place. The message is added for errors of this library only.

    The message of another library's error may hold a token.

    Args:
        error: The error.
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
    return f"{type(error).__name__}{f': {error}' if isinstance(error, SdkError) else ''}{place}"
