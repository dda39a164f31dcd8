"""A worker that exports the deals of every portal once an hour; a run that was killed goes on where it ended.

Start any number of processes: each portal is exported by one of them at a time.
"""

import asyncio
import os
from pathlib import Path

from b24oauth import B24OAuth, B24OAuthSecret, B24Portals
from b24oauth.apps import run_portals
from b24oauth.exporting import ExportRequest, export
from b24oauth.stores import SQLiteStore

FOLDER = Path(os.environ["EXPORTS"])


async def export_deals(b24: B24OAuth) -> float:
    folder = FOLDER / b24.auth.get_params().member_id
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    request = ExportRequest(
        method="crm.deal.list",
        params={"select": ["ID", "TITLE", "STAGE_ID", "OPPORTUNITY", "DATE_MODIFY"]},
        to=folder / "deals.csv",
        guard_formulas=True,
        overwrite=True,
    )
    report = await export(b24, request)
    print(f"{report.rows} rows in {report.path}, {report.resumed} of them from before")
    return 3600.0


async def main() -> None:
    secret = B24OAuthSecret(
        client_id=os.environ["B24OAUTH_CLIENT_ID"], client_secret=os.environ["B24OAUTH_CLIENT_SECRET"]
    )
    hosts = os.environ.get("B24OAUTH_TRUSTED_HOSTS", "oauth.bitrix.info,oauth.bitrix24.tech").split(",")
    store = SQLiteStore(os.environ["B24OAUTH_STORE"])
    async with store, B24Portals(secret, store, trusted_oauth_hosts=hosts) as portals:
        await run_portals(portals, export_deals, name="export of deals")


if __name__ == "__main__":
    asyncio.run(main())
