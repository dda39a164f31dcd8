"""`FakeInstallation`: an application on a fake portal. The portal's side of it: installing, events, pages, robots."""

from __future__ import annotations

import itertools
import random
from collections.abc import Awaitable, Callable, Mapping
from html import escape
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import attrs

from b24oauth.models import B24OAuthParams
from b24oauth.testing.applications import event_body, page_request, robot_body
from b24oauth.testing.bindings import Queued
from b24oauth.testing.brackets import parse_query
from b24oauth.testing.messages import Answer, Request
from b24oauth.testing.portal import FakePortal
from b24oauth.testing.web_pages import SCRIPT, frame_answer, html

__all__ = ["AppRequest", "AppResponse", "FakeInstallation", "Sender", "post"]

FORM: Final = "application/x-www-form-urlencoded"
# Of other events an application gets the access token only.
_WITH_REFRESH_TOKEN: Final = frozenset(
    {"ONAPPINSTALL", "ONAPPUPDATE", "ONAPPTEST", "ONSUBSCRIPTIONRENEW", "ONOFFLINEEVENT", "ONAPPUSERREADY"}
)
_SYSTEM_USER: Final = 512
_JAVASCRIPT: Final = (("content-type", "text/javascript; charset=utf-8"),)


@attrs.frozen(kw_only=True)
class AppRequest:
    """A request of the portal, or of a browser that looks at it.

    Attributes:
        url: Where to, with a query if it has one.
        body: The form.
        content_type: Its media type.
    """

    url: str
    body: bytes = attrs.field(repr=False)
    content_type: str = FORM


@attrs.frozen(kw_only=True)
class AppResponse:
    """What the application answered.

    Attributes:
        status: HTTP status; 0 if it did not answer.
        body: The body.
        headers: Its headers, names in small letters.
    """

    status: int
    body: bytes = attrs.field(default=b"", repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


Sender = Callable[[AppRequest], Awaitable[AppResponse]]


class FakeInstallation:
    """An application that is installed on a fake portal, seen from the portal.

    It sends what Bitrix24 sends: installations, the events that the application has bound, pages, robots and removals.
    Calls that change rows, such as `crm.deal.add`, queue their events; `deliver` sends what is queued.

    Args:
        portal: The portal.
        url: Main address of the application.
        install_url: Address of its installation page; None for an application without an interface, which is installed
            by an event.
        send: Sends a request; None for HTTP.

    Attributes:
        lost: Events that the application did not answer, or answered with an error. Bitrix24 sends none again.
        system_user: The application's own user, of whom `ONAPPUSERREADY` tells.

    Source: https://apidocs.bitrix24.com/settings/app-installation/index.html
    """

    def __init__(
        self, portal: FakePortal, url: str, *, install_url: str | None = None, send: Sender | None = None
    ) -> None:
        self.portal, self.url, self._install_url = portal, url, install_url
        self._send = post if send is None else send
        self.lost: list[Queued] = []
        self.system_user = _SYSTEM_USER
        self._tokens, self._versions = itertools.count(1), itertools.count(1)
        portal.bindings.is_finished = False
        portal.page("/marketplace/app/1/", self._main_page)
        portal.page("/placement/", self._placement_page)
        portal.page("/_fake/finish", self._finish_page)
        portal.page("/_fake/bx24.js", lambda _: Answer(status=200, body=SCRIPT.encode(), headers=_JAVASCRIPT))

    # --- the life of the installation ---------------------------------------------------------------------------------

    async def install(self, *, order: Literal["installed first", "user first"] = "installed first") -> AppResponse:
        """An administrator installs the application.

        Without an installation page the portal sends `ONAPPINSTALL` and `ONAPPUSERREADY`. With one it opens the page;
        no event is sent until `finish`.

        Args:
            order: Which of the two events comes first.

        Returns:
            What the application answered to the page, or to `ONAPPINSTALL`.
        """
        self.portal.bindings.version = next(self._versions)
        if self._install_url is not None:
            return await self.open_page(self._install_url)
        self.portal.bindings.is_finished = True
        ready = order == "user first"
        if ready:
            await self._user_ready()
        response = await self._event(self.url, "ONAPPINSTALL", self._facts())
        if not ready:
            await self._user_ready()
        return response

    async def finish(self) -> None:
        """The installation page has called ``BX24.installFinish()``: the events of the installation are sent."""
        if self._install_url is None or self.portal.bindings.is_finished:
            # Elsewhere it does nothing.
            return
        self.portal.bindings.is_finished = True
        self.portal.bindings.tell("ONAPPINSTALL", self._facts())
        await self.deliver()
        await self._user_ready()

    async def update(self) -> AppResponse:
        """Another version is installed: the installation runs again, on the same record; `ONAPPUPDATE` is not sent."""
        bindings = self.portal.bindings
        if self._install_url is not None:
            bindings.is_finished = False
            bindings.events[:] = [one for one in bindings.events if one.event != "ONAPPINSTALL"]
        return await self.install()

    async def uninstall(self, *, clean: bool = True) -> None:
        """The application is removed: its tokens end, and `ONAPPUNINSTALL` is sent to those that have bound it.

        Args:
            clean: Whether the user asked to delete the application's data.
        """
        self.portal.kill_tokens()
        bindings = self.portal.bindings
        handlers = [one.handler for one in bindings.events if one.event == "ONAPPUNINSTALL"]
        is_told = bindings.is_finished and bindings.is_paid
        bindings.clear()
        bindings.is_finished = False
        for handler in handlers if is_told else ():
            await self._event(handler, "ONAPPUNINSTALL", {"LANGUAGE_ID": "en", "CLEAN": clean}, user_id=None)

    # --- events -------------------------------------------------------------------------------------------------------

    async def send(self, name: str, data: Any = None, *, user_id: int | None = 1) -> list[AppResponse]:
        """Something happens on the portal; the event is sent to its bound handlers at once.

        Args:
            name: The event, for example ``ONCRMDEALADD``.
            data: What happened, for example ``{"FIELDS": {"ID": 5}}``.
            user_id: The user who caused it; None for a robot or the system: the event carries no token then.

        Returns:
            What was answered; nothing if the event is not bound or nothing is sent.
        """
        self.portal.bindings.tell(name, data, user_id=user_id)
        return await self.deliver()

    async def deliver(self, *, shuffle: random.Random | None = None, twice: bool = False) -> list[AppResponse]:
        """Sends the queued events, each at most once; what is not answered is lost.

        Args:
            shuffle: Sends them in another order, as the queue of Bitrix24 may.
            twice: Sends each a second time.
        """
        queue = self.portal.bindings.queue
        waiting, queue[:] = list(queue), []
        if shuffle is not None:
            shuffle.shuffle(waiting)
        responses = list[AppResponse]()
        for queued in waiting:
            for _ in range(1 + twice):
                response = await self._event(queued.url, queued.event, queued.data, user_id=queued.user_id)
                if not 200 <= response.status < 300:
                    self.lost.append(queued)
                responses.append(response)
        return responses

    async def robot(
        self, code: str, properties: Mapping[str, Any] | None = None, *, waits: bool = False
    ) -> tuple[AppResponse, str]:
        """A workflow reaches a robot that the application has registered.

        Args:
            code: Its code.
            properties: Its settings.
            waits: Whether the workflow waits for `bizproc.event.send`.

        Returns:
            What the application answered, and the token; `returned` of `FakePortal.bindings` has what it sends.

        Raises:
            KeyError: There is no such robot.
        """
        handler = str(self.portal.bindings.robots[code]["HANDLER"])
        token = f"65f0a1b2c3d4e5.00000001|A{next(self._tokens)}|{self.portal.member_id}.fake-signature"
        if waits:
            self.portal.bindings.waiting[token] = code
        body = robot_body(self.portal, code, properties, waits=waits, event_token=token)
        return await self._send(AppRequest(url=handler, body=body)), token

    # --- pages --------------------------------------------------------------------------------------------------------

    async def open_page(self, url: str | None = None, *, user_id: int = 1, **fields: Any) -> AppResponse:
        """A user's browser opens a page of the application.

        Args:
            url: Its address; None for the main one.
            user_id: The user.
            fields: Fields of the form to be written differently; None leaves one out.
        """
        return await self._send(self.page_of(url or self.url, user_id=user_id, **fields))

    async def open_placement(self, code: str, options: str = "", *, user_id: int = 1) -> AppResponse:
        """A user's browser opens a placement that the application has bound.

        Args:
            code: The placement.
            options: What the placement tells, as JSON.
            user_id: The user.

        Raises:
            KeyError: The application has not bound it.
        """
        handlers = {one.code: one.handler for one in self.portal.bindings.placements}
        extra = {"PLACEMENT_OPTIONS": options} if options else {}
        return await self.open_page(handlers[code], user_id=user_id, PLACEMENT=code, **extra)

    def page_of(self, url: str, *, user_id: int = 1, **fields: Any) -> AppRequest:
        """The request of a browser that opens a page, which is sent by nobody.

        Args:
            url: Its address; what the portal adds is appended to its query.
            user_id: The user.
            fields: Fields of the form to be written differently; None leaves one out.
        """
        request = page_request(self.portal, user_id=user_id, **fields)
        return AppRequest(url=f"{url}{'&' if urlsplit(url).query else '?'}{request.query}", body=request.body)

    # --- what a browser sees ------------------------------------------------------------------------------------------

    def _main_page(self, request: Request) -> Answer:
        """The application in a frame; with ``?user=7`` user 7 looks at it."""
        is_installing = self._install_url is not None and not self.portal.bindings.is_finished
        return self._framed(self._install_url or self.url if is_installing else self.url, request)

    def _placement_page(self, request: Request) -> Answer:
        """A placement in a frame: ``?code=LEFT_MENU``, and maybe ``options``."""
        query = parse_query(request.query)
        code = str(query.get("code") or "")
        for one in self.portal.bindings.placements:
            if one.code == code:
                extra = {"PLACEMENT": code, "PLACEMENT_OPTIONS": query.get("options")}
                return self._framed(one.handler, request, **extra)
        return html(f"<p>The application has no placement {escape(code)}</p>", status=404)

    def _framed(self, url: str, request: Request, **fields: Any) -> Answer:
        user = str(parse_query(request.query).get("user") or "1")
        opened = self.page_of(url, user_id=int(user) if user.isdecimal() else 1, **fields)
        form = {name: str(value) for name, value in parse_query(opened.body.decode()).items()}
        scheme, _, host = self.portal.origin.partition("://")
        return frame_answer(opened.url, form, host=host, is_https=scheme == "https", frame_id="fake-frame")

    async def _finish_page(self, request: Request) -> Answer:
        del request
        await self.finish()
        return Answer(status=200, body=b"{}")

    # --- requests -----------------------------------------------------------------------------------------------------

    def _facts(self) -> dict[str, Any]:
        return {"VERSION": self.portal.bindings.version, "ACTIVE": "Y", "INSTALLED": "Y", "LANGUAGE_ID": "en"}

    async def _user_ready(self) -> None:
        pair = self._of_oauth_host(self.portal.issue(self.system_user))
        data = {**pair, "client_id": self.portal.secret.client_id, "LANGUAGE_ID": "en"}
        data.pop("application_token", None)
        domain = urlsplit(self.portal.server_endpoint).netloc
        body = event_body(self.portal, "ONAPPUSERREADY", data, domain=domain)
        await self._send(AppRequest(url=self._install_url or self.url, body=body))

    def _of_oauth_host(self, pair: B24OAuthParams) -> dict[str, Any]:
        # Bitrix24 names its OAuth server as the domain here.
        return {**pair.to_dict(), "domain": urlsplit(self.portal.server_endpoint).netloc}

    async def _event(self, url: str, name: str, data: Any, *, user_id: int | None = 1) -> AppResponse:
        auth: dict[str, Any] = {} if name in _WITH_REFRESH_TOKEN else {"refresh_token": None}
        with_tokens = user_id is not None
        body = event_body(self.portal, name, data, user_id=user_id or 1, with_tokens=with_tokens, **auth)
        return await self._send(AppRequest(url=url, body=body))


async def post(request: AppRequest) -> AppResponse:
    """Sends a request over HTTP.

    Args:
        request: The request.
    """
    import httpx  # noqa: PLC0415 - only needed for an application behind a server

    headers = {"Content-Type": request.content_type, "User-Agent": "Bitrix24 Webhook Engine"}
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        try:
            response = await http.post(request.url, content=request.body, headers=headers)
        except httpx.TransportError:
            return AppResponse(status=0)
    return AppResponse(status=response.status_code, body=response.content, headers=dict(response.headers))
