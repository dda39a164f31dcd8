"""`b24oauth portal --app URL`: an application is installed on a fake portal and gets its events."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

import httpx

from b24oauth.cli.portal import EARLIER_PAIRS
from b24oauth.testing import FakeInstallation, FakePortal

__all__ = ["run_application"]

_LOOK_EVERY: Final = 0.2

_INTRODUCTION: Final = """\
A fake portal listens at {origin}. Start your application with these settings; it is installed when it answers at
{url}.

export B24OAUTH_CLIENT_ID={client_id}
export B24OAUTH_CLIENT_SECRET={client_secret}
export B24OAUTH_TRUSTED_HOSTS={host}   # its trusted_oauth_hosts
"""
_INSTALLED: Final = """\
The application is installed. Open it in a browser:

the application in a frame   {origin}/marketplace/app/1/
as user 7                    {origin}/marketplace/app/1/?user=7
a placement                  {origin}/placement/?code=LEFT_MENU
a login                      {origin}/oauth/authorize/?client_id={client_id}&state=…

Press Enter to add a deal, which sends ONCRMDEALADD if the application has bound it. Other lines:

update ID    changes a deal          delete ID    deletes a deal
open         shows a page as text    bindings     what the application has registered
uninstall    removes the application
"""


async def run_application(
    url: str,
    *,
    install_url: str | None,
    redirect: str | None,
    host: str,
    port: int,
    lines: AsyncIterator[str],
    show: Callable[[str], None] = print,
) -> None:
    """Serves a portal, installs the application on it, and does what is typed.

    Args:
        url: Main address of the application, where its events arrive.
        install_url: Address of its installation page; None for an application without one.
        redirect: Where it takes authorization codes; None for its main address.
        host: Address to listen at.
        port: Port to listen at; 0 for a free one.
        lines: What is typed.
        show: Shows a line.

    Raises:
        OSError: The port is taken.
    """
    portal = FakePortal(
        clock=time.time,
        rows={"crm.deal": 120, "crm.contact": 60, "tasks.task": 60, "user": 20},
        record=1000,
        earlier_pairs=EARLIER_PAIRS,
        redirect_uri=redirect or url,
        asks_for_login=True,
    )
    async with portal.serve(host=host, port=port) as served:
        secret = served.secret
        values = {"origin": served.origin, "client_id": secret.client_id, "client_secret": secret.client_secret}
        show(_INTRODUCTION.format(url=url, host=served.origin.removeprefix("http://"), **values))
        await _until_it_answers(url)
        installation = FakeInstallation(served, url, install_url=install_url)
        response = await installation.install()
        if install_url is not None:
            show(f"The installation page is answered {response.status}: open it in a browser to finish.")
        elif response.status != 200:
            show(f"The application answered {response.status or 'nothing'} to ONAPPINSTALL: see its log.")
        show(_INSTALLED.format(**values))
        desk = _Desk(served, installation, show)
        async with asyncio.TaskGroup() as group:
            delivering = group.create_task(desk.deliver(), name="b24oauth events")
            async for line in lines:
                await desk.do(line.strip())
            delivering.cancel()


async def _until_it_answers(url: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        while True:
            with contextlib.suppress(httpx.TransportError):
                await http.get(url)
                return
            await asyncio.sleep(_LOOK_EVERY)


class _Desk:
    """What is typed, and what the portal sends."""

    def __init__(self, portal: FakePortal, installation: FakeInstallation, show: Callable[[str], None]) -> None:
        self._portal, self._installation, self._show = portal, installation, show

    async def deliver(self) -> None:
        """Sends events as they happen."""
        while True:
            for queued in list(self._portal.bindings.queue):
                self._show(f"{queued.event} is sent to {queued.url}")
            for response in await self._installation.deliver():
                self._show(f"It was answered {response.status or 'nothing: the event is lost'}.")
            await asyncio.sleep(_LOOK_EVERY)

    async def do(self, line: str) -> None:
        """Does what a line says."""
        word, _, number = line.partition(" ")
        if not word:
            deal = await self._call("crm.deal.add", {"fields": {"TITLE": "A new deal", "OPPORTUNITY": 5000}})
            self._show(f"Deal {deal} is added.")
        elif word in ("update", "delete") and number.isdecimal():
            fields = {"fields": {"TITLE": f"Changed at {time.strftime('%X')}"}} if word == "update" else {}
            await self._call(f"crm.deal.{word}", {"id": int(number), **fields})
        elif word == "open":
            response = await self._installation.open_page()
            self._show(f"{response.status}\n{response.text}")
        elif word == "bindings":
            for one in (*self._portal.bindings.events, *self._portal.bindings.placements):
                self._show(str(one))
            for event, connector in self._portal.offline.bindings:
                self._show(f"{event}, offline{f', auth_connector={connector}' if connector else ''}")
        elif word == "uninstall":
            await self._installation.uninstall()
            self._show("The application is removed.")
        else:
            self._show("Press Enter, or type: update ID, delete ID, open, bindings, uninstall")

    async def _call(self, method: str, params: dict[str, object]) -> object:
        """A user's own call, as if made in the portal's interface."""
        async with httpx.AsyncClient(trust_env=False) as http:
            response = await http.post(f"{self._portal.webhook()}{method}", json=params)
            answer = response.json()
        if "error" in answer:
            self._show(f"{answer['error']}: {answer.get('error_description', '')}")
        return answer.get("result")
