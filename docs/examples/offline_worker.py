"""A copy of all deals of all portals in an SQLite file, kept up to date by offline events: no change is lost.

Start it with ``python offline_worker.py``, in any number of processes. The installation of the application is the
business of its web server, which uses the same store.
"""

import asyncio
import os
import sqlite3

from b24oauth import B24OAuth, B24OAuthSecret
from b24oauth.apps import B24App, run_portals, subscribe_offline
from b24oauth.stores import SQLiteStore

EVENTS = ("ONCRMDEALADD", "ONCRMDEALUPDATE", "ONCRMDEALDELETE")

b24app = B24App(
    B24OAuthSecret(client_id=os.environ["B24OAUTH_CLIENT_ID"], client_secret=os.environ["B24OAUTH_CLIENT_SECRET"]),
    SQLiteStore(os.environ["B24OAUTH_STORE"]),
    trusted_oauth_hosts=os.environ.get("B24OAUTH_TRUSTED_HOSTS", "oauth.bitrix.info,oauth.bitrix24.tech").split(","),
)
db = sqlite3.connect(os.environ["DEALS"], timeout=30, isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("CREATE TABLE IF NOT EXISTS deals (portal, id INTEGER, title, stage, amount REAL, PRIMARY KEY (portal, id))")
db.execute("CREATE TABLE IF NOT EXISTS copied (portal PRIMARY KEY)")


async def consume(b24: B24OAuth) -> None:
    """Brings the copy of one portal up to date. The runner calls it again and again, one process at a time."""
    portal = b24.auth.get_params().member_id
    if not db.execute("SELECT 1 FROM copied WHERE portal = ?", (portal,)).fetchone():
        # First the subscription: what changes while the deals are copied is an event.
        await subscribe_offline(b24, EVENTS)
        async for page in b24.pages("crm.deal.list", {"select": ["*"]}):
            save(portal, page)
        db.execute("INSERT INTO copied VALUES (?)", (portal,))
    async for batch in b24app.offline_events(portal):
        # An event names a deal. What counts is its present state, so a batch that comes twice does no harm.
        changed = {int(event.object_id) for event in batch}
        params = {"filter": {"@ID": sorted(changed)}, "select": ["*"]}
        found = [deal async for deal in b24.rows("crm.deal.list", params)]
        save(portal, found)
        deleted = changed - {int(deal["ID"]) for deal in found}
        db.executemany("DELETE FROM deals WHERE portal = ? AND id = ?", [(portal, deal) for deal in deleted])


def save(portal: str, deals: list[dict[str, str]]) -> None:
    """Writes deals into the copy."""
    rows = [(portal, int(deal["ID"]), deal["TITLE"], deal["STAGE_ID"], float(deal["OPPORTUNITY"])) for deal in deals]
    db.executemany("INSERT OR REPLACE INTO deals VALUES (?, ?, ?, ?, ?)", rows)


async def main() -> None:
    """Works until the process is asked to stop."""
    async with b24app:
        await run_portals(b24app, consume, name="copy deals", poll=float(os.environ.get("POLL", "30")))
    db.close()


if __name__ == "__main__":
    asyncio.run(main())
