"""A real application under a real server, run as a script by tests: many workers may share its store."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sqlite3
from typing import Any, Literal

import uvicorn
from aiohttp import web
from fastapi import FastAPI
from redis.asyncio import Redis

from b24oauth import B24OAuth, B24OAuthSecret, RateLimitConfig, RestrictionParams
from b24oauth.apps import B24App
from b24oauth.contrib import aiohttp, fastapi
from b24oauth.contrib.asgi import asgi
from b24oauth.stores import SQLiteStore

logging.basicConfig(level=logging.WARNING)
settings: dict[str, Any] = json.loads(os.environ["SETTINGS"])
redis = Redis.from_url(settings["redis"]) if "redis" in settings else None


async def hand_on(message: dict[str, Any]) -> None:
    assert redis is not None
    await redis.xadd(settings["stream"], {"message": json.dumps(message)})


params = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=1e6, drain_rate=1e6))
b24app = B24App(
    B24OAuthSecret.from_dict(settings["secret"]),
    SQLiteStore(settings["store"]),
    trusted_oauth_hosts=settings["hosts"],
    restriction_params=params,
    transport="aiohttp",
    dispatch=None if redis is None else hand_on,
)


def note(kind: str, what: str) -> None:
    with contextlib.closing(sqlite3.connect(settings["notes"], timeout=30)) as db, db:
        db.execute("INSERT INTO notes VALUES (?, ?)", (kind, what))


@b24app.on("ONCRMDEALADD", ack=settings.get("ack", "before"))
async def deal_added(event: Any, b24: B24OAuth) -> None:
    await asyncio.sleep(0.05)
    me = await b24.call("profile")
    await asyncio.to_thread(note, event.object_id, me["ID"])


# An application that uvicorn serves, as users write it.
server: Literal["asgi", "fastapi", "aiohttp"] = settings.get("server", "asgi")
app: Any = asgi(b24app)
if server == "fastapi":
    app = FastAPI()
    fastapi.setup(app, b24app, path="/")

if __name__ == "__main__":
    if server == "aiohttp":
        web_app = web.Application()
        aiohttp.setup(web_app, b24app, path="/")
        web.run_app(web_app, port=settings["port"], print=None)
    else:
        workers = settings.get("workers", 1)
        uvicorn.run("tests.contrib.served:app", port=settings["port"], workers=workers, log_level="warning")
