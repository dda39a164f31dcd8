"""A loopback server that answers from a script and writes down what it was sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs


def each_text(value: Any, change: Callable[[str], str]) -> Any:
    """A copy with every text in it changed, keys included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key): each_text(part, change) for key, part in value.items()}
    return [each_text(part, change) for part in value] if isinstance(value, list) else value


def fields(text: str) -> dict[str, Any]:
    """The fields of a query or form; one that came twice shows both values instead of the last."""
    return {
        name: values[0] if len(values) == 1 else values
        for name, values in parse_qs(text, keep_blank_values=True).items()
    }


class ScriptedServer:
    """Plays the `responses` of a recording."""

    def __init__(self, responses: Sequence[Mapping[str, Any]]) -> None:
        self.left = [dict(response) for response in responses]
        self.requests: list[dict[str, Any]] = []
        self.events: list[str] = []
        self.origin = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            response = self.take(self.note(*head[0].split(" ")[:2], headers, body.decode()))
            await asyncio.sleep(response.get("delayMs", 0) / 1000)
            if response.get("drop"):
                writer.transport.abort()
            elif response.get("hang"):
                await reader.read()
            else:
                writer.write(self.encoded(response))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left, which some recordings are about
        finally:
            writer.close()

    def note(self, method: str, target: str, headers: dict[str, str], text: str) -> dict[str, Any]:
        path, _, query = target.partition("?")
        kind = headers.get("content-type", "").partition(";")[0] or None
        form = kind == "application/x-www-form-urlencoded"
        body = fields(text) if form else json.loads(text) if text else None
        asked = fields(query)
        request = {
            "method": method,
            "path": path,
            "query": asked,
            "contentType": kind,
            "body": body,
            "rawBody": text,
            "headers": headers,
        }
        self.requests.append(request)
        self.events.append(f"request {path}")
        return request

    def take(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The first response that is left and fits."""
        auth = request["body"].get("auth") if isinstance(request["body"], dict) else None
        for position, response in enumerate(self.left):
            fits = request["path"].endswith(response.get("forPath", "")) and response.get("forAuth", auth) == auth
            if fits:
                return response if response.get("repeat") else self.left.pop(position)
        return {"status": 599, "json": {"error": "NO_SCRIPTED_RESPONSE"}}

    def encoded(self, response: Mapping[str, Any]) -> bytes:
        filled = each_text(dict(response), lambda text: text.replace("{ORIGIN}", self.origin))
        body = filled["text"] if "text" in filled else json.dumps(filled["json"]) if "json" in filled else ""
        kind = "application/json" if "json" in filled else "text/html"
        headers = {"content-type": kind} | {name.lower(): value for name, value in filled.get("headers", {}).items()}
        lines = [
            f"HTTP/1.1 {filled.get('status', 200)} X",
            "connection: close",
            f"content-length: {len(body.encode())}",
        ]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


@asynccontextmanager
async def scripted(responses: Sequence[Mapping[str, Any]]) -> AsyncIterator[ScriptedServer]:
    """The server, while the context is open."""
    played = ScriptedServer(responses)
    server = await asyncio.start_server(played.answer, "127.0.0.1", 0, limit=2**22)
    async with server:
        played.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield played
