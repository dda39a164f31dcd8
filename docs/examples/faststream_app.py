"""Events that outlive the web server, with FastStream: each is in a Redis stream before Bitrix24 is answered.

Serve it with ``uvicorn faststream_app:web`` and start workers with ``faststream run faststream_app:worker``.
"""

import os
from typing import Any

from faststream import AckPolicy, FastStream
from faststream.redis import RedisBroker, StreamSub
from redis import ResponseError

from b24oauth import B24OAuth, B24OAuthSecret
from b24oauth.apps import B24App, Event
from b24oauth.contrib.asgi import asgi
from b24oauth.stores import SQLiteStore

broker = RedisBroker(os.environ["REDIS_URL"])
name = os.environ.get("WORKER", "worker")
new = StreamSub("b24 events", group="workers", consumer=name)
# What failed, or what a killed worker had begun, is handled again after a minute.
again = StreamSub("b24 events", group="workers", consumer=f"{name} again", min_idle_time=60_000)


@broker.subscriber(stream=new, ack_policy=AckPolicy.NACK_ON_ERROR)
@broker.subscriber(stream=again, ack_policy=AckPolicy.NACK_ON_ERROR)
async def handle(message: dict[str, Any]) -> None:
    await b24app.run(message)


async def hand_on(message: dict[str, Any]) -> None:
    await broker.publish(message, stream="b24 events")


async def connect() -> None:
    redis = await broker.connect()
    try:
        # From the beginning of the stream: an event may arrive before the first worker starts.
        await redis.xgroup_create("b24 events", "workers", id="0", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


b24app = B24App(
    B24OAuthSecret(client_id=os.environ["B24OAUTH_CLIENT_ID"], client_secret=os.environ["B24OAUTH_CLIENT_SECRET"]),
    SQLiteStore(os.environ["B24OAUTH_STORE"]),
    dispatch=hand_on,
    trusted_oauth_hosts=os.environ.get("B24OAUTH_TRUSTED_HOSTS", "oauth.bitrix.info,oauth.bitrix24.tech").split(","),
)
web = asgi(b24app, on_startup=connect, on_shutdown=broker.stop)
worker = FastStream(broker, on_startup=[connect], after_shutdown=[b24app.aclose])


@b24app.on("ONCRMDEALADD")
async def deal_added(event: Event, b24: B24OAuth) -> None:
    deal = await b24.call("crm.deal.get", {"id": event.object_id})
    await b24.call("crm.deal.update", {"id": deal["ID"], "fields": {"COMMENTS": f"Seen: {deal['TITLE']}"}})
