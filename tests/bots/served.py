"""An application with a bot under uvicorn, run as a script by `test_served`."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from typing import Any

import uvicorn

from b24oauth import B24OAuthSecret
from b24oauth.apps import B24App
from b24oauth.bots import Bot, Message
from b24oauth.contrib.asgi import asgi
from b24oauth.stores import SQLiteStore
from tests.support.clients import UNLIMITED

settings: dict[str, Any] = json.loads(os.environ["SETTINGS"])
b24app = B24App(
    B24OAuthSecret.from_dict(settings["secret"]),
    SQLiteStore(settings["store"]),
    trusted_oauth_hosts=settings["hosts"],
    restriction_params=UNLIMITED,
    transport="aiohttp",
    concurrency=1000,
)
bot = Bot("echo", name="Echo", concurrency=100)
notes = sqlite3.connect(settings["notes"], timeout=30, isolation_level=None)


@bot.message
async def echo(message: Message) -> None:
    # Later messages would overtake earlier ones.
    await asyncio.sleep(1 / (1 + int(message.text)))
    await message.answer(message.text)
    notes.execute("INSERT INTO notes VALUES (?, ?)", (message.dialog_id, message.text))


bot.attach(b24app)
app = asgi(b24app)

if __name__ == "__main__":
    uvicorn.run(app, port=settings["port"], log_level="warning")
