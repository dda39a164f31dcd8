"""`b24oauth portal`: the fake portal on a port, and programs to paste that talk to it."""

from __future__ import annotations

import asyncio
import importlib
import time
from typing import Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from b24oauth.testing import FakePortal

__all__ = ["EARLIER_PAIRS", "portal", "run_portal"]

# A program that has stored a pair goes on with it after the portal was started again.
EARLIER_PAIRS: Final = 10_000

_PROGRAMS: Final = """\
A fake portal listens at {origin}. It contains {deals} deals and keeps changes in memory. Press Ctrl-C to stop it.

A webhook:

import asyncio

from b24oauth import B24Hook


async def main() -> None:
    async with B24Hook("{webhook}", trusted_hosts=["{host}"]) as b24:
        deal = await b24.call("crm.deal.get", {{"id": 1}})
        print(deal["TITLE"])


asyncio.run(main())

OAuth:

import asyncio

from b24oauth import B24OAuth, B24OAuthParams, B24OAuthSecret

params = B24OAuthParams(
    access_token="{access_token}",
    refresh_token="{refresh_token}",
    expires={expires},
    client_endpoint="{client_endpoint}",
    server_endpoint="{server_endpoint}",
    member_id="{member_id}",
)
secret = B24OAuthSecret(client_id="{client_id}", client_secret="{client_secret}")


async def main() -> None:
    async with B24OAuth(params, secret, trusted_oauth_hosts=["{host}"]) as b24:
        deal = await b24.call("crm.deal.get", {{"id": 1}})
        print(deal["TITLE"])


asyncio.run(main())
"""


def portal(
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(validator=Number(gte=0, lte=65_535))] = 0,
    deals: Annotated[int, Parameter(validator=Number(gte=0))] = 120,
    bot: bool = False,
    app: str | None = None,
    install_page: str | None = None,
    redirect: str | None = None,
) -> None:
    """Serve a fake portal to try programs against.

    Two programs to paste are printed: one with a webhook, one with OAuth. Press Ctrl-C to stop.

    Args:
        host: Address to listen at.
        port: Port to listen at; 0 for a free one.
        deals: Number of deals that the portal has.
        bot: Chat with your bot in this terminal.
        app: Address of your application: it is installed, gets the portal's events, and is shown in your browser.
        install_page: Address of the application's installation page, if it has one.
        redirect: Address where the application takes authorization codes.
    """
    importlib.import_module("uvicorn")  # the portal asks for it only when it is served
    if app is not None:
        from b24oauth.cli.application import run_application  # noqa: PLC0415 - as little as needed is loaded
        from b24oauth.cli.chat import typed_lines  # noqa: PLC0415 - as above

        installing = run_application(
            app, install_url=install_page, redirect=redirect, host=host, port=port, lines=typed_lines()
        )
        asyncio.run(installing)
    elif bot:
        from b24oauth.cli.chat import run_chat, typed_lines  # noqa: PLC0415 - as little as needed is loaded

        asyncio.run(run_chat(host=host, port=port, lines=typed_lines()))
    else:
        asyncio.run(run_portal(host=host, port=port, deals=deals))


async def run_portal(*, host: str, port: int, deals: int = 120) -> None:
    """Serves the portal until the task is cancelled.

    Args:
        host: Address to listen at.
        port: Port to listen at; 0 for a free one.
        deals: Number of deals that it has.

    Raises:
        OSError: The port is taken.
    """
    rows = {"crm.deal": deals, "crm.contact": 60, "tasks.task": 60}
    portal = FakePortal(clock=time.time, rows=rows, record=1000, earlier_pairs=EARLIER_PAIRS)
    async with portal.serve(host=host, port=port) as served:
        pair = served.issue()
        text = _PROGRAMS.format(
            origin=served.origin,
            deals=deals,
            webhook=served.webhook(),
            host=served.origin.removeprefix("http://"),
            access_token=pair.access_token,
            refresh_token=pair.refresh_token,
            expires=pair.expires,
            client_endpoint=pair.client_endpoint,
            server_endpoint=pair.server_endpoint,
            member_id=pair.member_id,
            client_id=served.secret.client_id,
            client_secret=served.secret.client_secret,
        )
        print(text, flush=True)
        await asyncio.Event().wait()
