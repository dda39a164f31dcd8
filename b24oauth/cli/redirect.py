"""The loopback page to which the browser returns from the authorization page."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Awaitable, Callable
from typing import Final, Self, TypeVar
from urllib.parse import parse_qs, urlsplit

import attrs

from b24oauth.errors import SdkError
from b24oauth.validating import hidden

__all__ = ["Redirect", "waited_for"]

# How long a browser may take to send a request, seconds, and how large it may be, bytes.
_REQUEST_TIMEOUT: Final = 10.0
_LARGEST: Final = 16_384
_REASONS: Final = {200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found"}

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Redirect:
    """What the browser brings back.

    Attributes:
        code: The authorization code.
        state: What was given to the authorization page.
        error: Why there is no code.
        server_domain: The OAuth server.
    """

    code: str = attrs.field(default="", repr=hidden)
    state: str = attrs.field(default="", repr=hidden)
    error: str = ""
    server_domain: str = ""

    @classmethod
    def from_query(cls, query: str) -> Self:
        """Reads a query string; what is missing is empty."""
        fields = parse_qs(query)

        def first(name: str) -> str:
            return fields.get(name, [""])[0]

        return cls(code=first("code"), state=first("state"), error=first("error"), server_domain=first("server_domain"))


async def waited_for(
    accept: Callable[[Redirect], Awaitable[T | None]], *, port: int, timeout: float, listening: Callable[[], object]
) -> T:
    """Listens at 127.0.0.1 until a redirect is accepted.

    Args:
        accept: Returns None for a redirect of something else, for which nothing ends; what it raises is raised.
        port: Where to listen.
        listening: Called when the page can be reached.
        timeout: Seconds to wait.

    Raises:
        SdkError: No redirect arrived in time.
        OSError: The port is taken.
    """
    outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    visits = set[asyncio.Task[None]]()

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        status, text = 404, "There is nothing here."
        result: T | None = None
        failure: Exception | None = None
        try:
            back = await _read(reader, port)
            if isinstance(back, int):
                status = back
            else:
                try:
                    result = await accept(back)
                except Exception as error:  # noqa: BLE001 - raised by the waiting command
                    status, failure = 400, error
                    text = error.message if isinstance(error, SdkError) else "The authorization failed."
                else:
                    done = "The application is authorized. You can close this page."
                    other = "This page belongs to another authorization."
                    status, text = (403, other) if result is None else (200, done)
            writer.write(_page(status, text))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the browser has gone; what was accepted counts all the same
        finally:
            writer.close()
            _settle(outcome, result, failure)

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(visit(reader, writer))
        visits.add(task)
        task.add_done_callback(visits.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", port, limit=_LARGEST)
    try:
        listening()
        async with asyncio.timeout(timeout):
            return await outcome
    except TimeoutError:
        pass
    finally:
        server.close()
        # Browsers open connections ahead, on which they send nothing.
        for task in list(visits):
            task.cancel()
        await asyncio.gather(*visits, return_exceptions=True)
        await server.wait_closed()
    raise SdkError(
        f"The browser did not return within {timeout:g} s. The redirect address in the application's card must be "
        f"http://127.0.0.1:{port}/",
        code="B24OAUTH_LOGIN_TIMEOUT",
    )


def _settle(outcome: asyncio.Future[T], result: T | None, failure: Exception | None) -> None:
    if outcome.done():
        return
    if failure is not None:
        outcome.set_exception(failure)
    elif result is not None:
        outcome.set_result(result)


async def _read(reader: asyncio.StreamReader, port: int) -> Redirect | int:
    """The redirect in a request, or the HTTP status that refuses it."""
    async with asyncio.timeout(_REQUEST_TIMEOUT):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request, *lines = head.split("\r\n")
    method, _, rest = request.partition(" ")
    target = urlsplit(rest.partition(" ")[0])
    hosts = [line.partition(":")[2].strip().lower() for line in lines if line.lower().startswith("host:")]
    # A page of another site may make its name point to this address.
    if hosts not in ([f"127.0.0.1:{port}"], [f"localhost:{port}"]):
        return 403
    if method != "GET" or target.path != "/" or not target.query:
        return 404
    return Redirect.from_query(target.query)


def _page(status: int, text: str) -> bytes:
    body = f'<!doctype html><meta charset="utf-8"><title>b24oauth</title><p>{html.escape(text)}</p>'.encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: text/html; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
