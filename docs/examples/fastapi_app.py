"""An application for any number of portals, with FastAPI: large deals get a task and are shown on a page.

Serve it with ``uvicorn fastapi_app:web``. Settings are in the environment.
"""

import logging
import os
from html import escape
from typing import Annotated, Any

from fastapi import Depends, FastAPI

from b24oauth import B24OAuth, B24OAuthSecret
from b24oauth.apps import B24App, Event, Page, Uninstalled, frame_page
from b24oauth.contrib.fastapi import portal_client, setup
from b24oauth.stores import SQLiteStore

b24app = B24App(
    B24OAuthSecret(client_id=os.environ["B24OAUTH_CLIENT_ID"], client_secret=os.environ["B24OAUTH_CLIENT_SECRET"]),
    SQLiteStore(os.environ["B24OAUTH_STORE"]),
    url=os.environ["APP_URL"],
    session_key=os.environ["SESSION_KEY"],
    trusted_oauth_hosts=os.environ.get("B24OAUTH_TRUSTED_HOSTS", "oauth.bitrix.info,oauth.bitrix24.tech").split(","),
)
web = FastAPI()
setup(web, b24app, path="/bitrix24")
LARGE = {"filter": {">=OPPORTUNITY": 1000}, "select": ["TITLE", "OPPORTUNITY"]}


@b24app.on_install
async def installed(event: Any, b24: B24OAuth) -> None:
    await b24app.sync(b24)


@b24app.on_uninstall
async def uninstalled(event: Uninstalled) -> None:
    logging.getLogger(__name__).info("Portal %s has removed the application", event.auth.member_id)


@b24app.on("ONCRMDEALADD")
async def deal_added(event: Event, b24: B24OAuth) -> None:
    deal = await b24.call("crm.deal.get", {"id": event.object_id})
    if float(deal.get("OPPORTUNITY") or 0) < 1000:
        return
    task = {
        "TITLE": f"Call the customer of deal {deal['ID']}",
        "RESPONSIBLE_ID": deal["ASSIGNED_BY_ID"],
        "UF_CRM_TASK": [f"D_{deal['ID']}"],
    }
    await b24.call("tasks.task.add", {"fields": task})


@b24app.page("/", placement="LEFT_MENU", title="Large deals")
async def large_deals(page: Page) -> str:
    me = await page.user.call("profile")
    rows = [
        f"<tr><td>{escape(deal['TITLE'])}</td><td>{escape(deal['OPPORTUNITY'])}</td></tr>"
        async for deal in page.user.rows("crm.deal.list", LARGE)
    ]
    table = f"<table>{''.join(rows)}</table>"
    total = "<p>Total: <output id='total'></output></p>"
    script = (
        "<script type='module'>"
        f"const headers = {{Authorization: 'Bearer {page.session}'}};"
        "const response = await fetch('/api/total', {headers});"
        "document.getElementById('total').value = (await response.json()).total;"
        "</script>"
    )
    return frame_page(f"<h1>Large deals for {escape(me['NAME'])}</h1>{table}{total}{script}", title="Large deals")


@web.get("/api/total")
async def total_of_deals(b24: Annotated[B24OAuth, Depends(portal_client(b24app))]) -> dict[str, float]:
    deals = [float(deal["OPPORTUNITY"]) async for deal in b24.rows("crm.deal.list", LARGE)]
    return {"total": sum(deals)}
