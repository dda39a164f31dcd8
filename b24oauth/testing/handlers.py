"""Handlers of the user's own methods: async or plain, and what happens when one of them raises."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from b24oauth.testing.messages import Call, Handler, Reply, RestError

__all__ = ["as_handler"]


def as_handler(name: object, handler: Callable[[dict[str, Any]], Any]) -> Handler:
    """A function of the user's as a handler of the portal.

    Args:
        name: The method's name.
        handler: Gets the parameters and returns the result, or an awaitable of it.

    Raises:
        TypeError: The name is no text, or the handler cannot be called.
    """
    if not isinstance(name, str) or not name:
        raise TypeError(f"FakePortal.method(): the name of a method is text, not {name!r}")
    if not callable(handler):
        raise TypeError(f"FakePortal.method(): the handler of {name} is a function of the parameters, not {handler!r}")

    def handle(call: Call) -> Reply | Awaitable[Reply]:
        try:
            result = handler(call.params)
        except RestError:
            raise
        except Exception as error:  # noqa: BLE001 - printed below
            raise _failed(name, error) from None
        return _finished(name, result) if inspect.isawaitable(result) else _reply(result)

    return handle


async def _finished(name: str, running: Awaitable[Any]) -> Reply:
    try:
        return _reply(await running)
    except RestError:
        raise
    except Exception as error:  # noqa: BLE001 - printed below
        raise _failed(name, error) from None


def _reply(result: Any) -> Reply:
    return result if isinstance(result, Reply) else Reply(result=result)


def _failed(name: str, error: Exception) -> RestError:
    """The 500 of a portal whose code fails. The user who wrote the handler sees the traceback."""
    error.add_note(f"Raised by the handler of {name}; the client gets a 500")
    traceback.print_exception(error)
    return RestError("INTERNAL_SERVER_ERROR", "Internal server error", status=500)
