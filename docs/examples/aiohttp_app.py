"""An application with aiohttp: a robot of workflows, and a tab of the deal that shows its history.

Start it with ``python aiohttp_app.py``. Settings are in the environment.
"""

import os
from html import escape
from typing import Any

from aiohttp import web

from b24oauth import B24OAuth, B24OAuthSecret
from b24oauth.apps import B24App, Page, RobotStarted, frame_page
from b24oauth.contrib.aiohttp import setup
from b24oauth.stores import SQLiteStore

b24app = B24App(
    B24OAuthSecret(client_id=os.environ["B24OAUTH_CLIENT_ID"], client_secret=os.environ["B24OAUTH_CLIENT_SECRET"]),
    SQLiteStore(os.environ["B24OAUTH_STORE"]),
    url=os.environ["APP_URL"],
    trusted_oauth_hosts=os.environ.get("B24OAUTH_TRUSTED_HOSTS", "oauth.bitrix.info,oauth.bitrix24.tech").split(","),
)
web_app = web.Application()
setup(web_app, b24app, path="/bitrix24")


@b24app.on_install
async def installed(event: Any, b24: B24OAuth) -> None:
    await b24app.sync(b24)
    known = await b24.call("bizproc.robot.list")
    robot = {
        "CODE": "share_of_deals",
        "HANDLER": os.environ["APP_URL"],
        "AUTH_USER_ID": 1,
        "NAME": "Share of the customer's deals",
        "USE_SUBSCRIPTION": "Y",
        "PROPERTIES": {"customer": {"Name": "Customer", "Type": "int", "Required": "Y"}},
        "RETURN_PROPERTIES": {"share": {"Name": "Share, percent", "Type": "double"}},
    }
    if robot["CODE"] not in known:
        await b24.call("bizproc.robot.add", robot)


@b24app.robot("share_of_deals")
async def share_of_deals(robot: RobotStarted, b24: B24OAuth) -> dict[str, Any]:
    totals = {"all": 0.0, "own": 0.0}
    async for deal in b24.rows("crm.deal.list", {"select": ["OPPORTUNITY", "CONTACT_ID"]}):
        totals["all"] += float(deal["OPPORTUNITY"] or 0)
        if str(deal["CONTACT_ID"]) == robot.properties["customer"]:
            totals["own"] += float(deal["OPPORTUNITY"] or 0)
    share = 100 * totals["own"] / totals["all"] if totals["all"] else 0.0
    return {"share": round(share, 2)}


@b24app.page("/tab", placement="CRM_DEAL_DETAIL_TAB", title="History")
async def tab(page: Page) -> str:
    deal_id = page.opened.options["ID"]
    both = await page.user.batch(
        {
            "deal": ("crm.deal.get", {"id": deal_id}),
            "tasks": ("tasks.task.list", {"filter": {"UF_CRM_TASK": f"D_{deal_id}"}}),
        }
    )
    title = escape(both["deal"]["TITLE"])
    items = "".join(f"<li>{escape(task['title'])}</li>" for task in both["tasks"]["tasks"])
    return frame_page(f"<h1>{title}</h1><ul>{items}</ul>", title=both["deal"]["TITLE"])


if __name__ == "__main__":
    web.run_app(web_app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
