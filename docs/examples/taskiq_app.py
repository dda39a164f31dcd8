"""Events that outlive the web server: each is in a Redis stream before Bitrix24 is answered, and a worker handles it.

Serve it with ``uvicorn taskiq_app:web`` and start workers with ``taskiq worker taskiq_app:broker``.
"""

import os
from typing import Any

from taskiq import SmartRetryMiddleware, TaskiqEvents
from taskiq_redis import RedisStreamBroker

from b24oauth import B24OAuth, B24OAuthSecret
from b24oauth.apps import B24App, Event
from b24oauth.contrib.asgi import asgi
from b24oauth.stores import SQLiteStore

# What a killed worker had begun is given to another one when it was not acknowledged for a minute.
broker = RedisStreamBroker(os.environ["REDIS_URL"], idle_timeout=60_000, consumer_id="0")
broker.add_middlewares(SmartRetryMiddleware(default_retry_count=5, default_delay=10, use_delay_exponent=True))


@broker.task(retry_on_error=True)
async def handle(message: dict[str, Any]) -> None:
    await b24app.run(message)


b24app = B24App(
    B24OAuthSecret(client_id=os.environ["B24OAUTH_CLIENT_ID"], client_secret=os.environ["B24OAUTH_CLIENT_SECRET"]),
    SQLiteStore(os.environ["B24OAUTH_STORE"]),
    dispatch=handle.kiq,
    trusted_oauth_hosts=os.environ.get("B24OAUTH_TRUSTED_HOSTS", "oauth.bitrix.info,oauth.bitrix24.tech").split(","),
)
broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)(lambda _: b24app.aclose())
web = asgi(b24app, on_startup=broker.startup, on_shutdown=broker.shutdown)


@b24app.on("ONCRMDEALADD")
async def deal_added(event: Event, b24: B24OAuth) -> None:
    """A contact with deals of 1,000 and more becomes a client."""
    deal = await b24.call("crm.deal.get", {"id": event.object_id})
    contact_id = deal.get("CONTACT_ID")
    if not contact_id:
        return
    contact = await b24.call("crm.contact.get", {"id": contact_id})
    params = {"filter": {"CONTACT_ID": contact_id}, "select": ["OPPORTUNITY"]}
    total = sum([float(other["OPPORTUNITY"] or 0) async for other in b24.rows("crm.deal.list", params)])
    if total >= 1000 and contact.get("TYPE_ID") != "CLIENT":
        await b24.call("crm.contact.update", {"id": contact_id, "fields": {"TYPE_ID": "CLIENT"}})


@b24app.on("ONCRMDEALUPDATE")
async def deal_updated(event: Event, b24: B24OAuth) -> None:
    """Whoever has won a deal gets a task to thank the customer; a second event of the deal makes no second task."""
    deal = await b24.call("crm.deal.get", {"id": event.object_id})
    if deal["STAGE_ID"] != "WON":
        return
    link = f"D_{deal['ID']}"
    found = await b24.call("tasks.task.list", {"filter": {"UF_CRM_TASK": link}, "select": ["ID"]})
    if found["tasks"]:
        return
    task = {
        "TITLE": f"Thank the customer of {deal['TITLE']}",
        "RESPONSIBLE_ID": deal["ASSIGNED_BY_ID"],
        "UF_CRM_TASK": [link],
    }
    await b24.call("tasks.task.add", {"fields": task})


@b24app.on("ONCRMDEALDELETE")
async def deal_deleted(event: Event, b24: B24OAuth) -> None:
    """The tasks of a deal end with it."""
    params = {"filter": {"UF_CRM_TASK": f"D_{event.object_id}", "!STATUS": 5}, "select": ["ID"]}
    open_tasks = [task["id"] async for task in b24.rows("tasks.task.list", params)]
    await b24.batch({task_id: ("tasks.task.complete", {"taskId": task_id}) for task_id in open_tasks})
