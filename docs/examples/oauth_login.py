"""A website with "Log in with Bitrix24": the user types the portal's address and allows the application there.

Serve it with ``uvicorn oauth_login:web``; the address of ``/returned`` is a field of the application's card.
"""

import os
import secrets
from html import escape

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from b24oauth import B24OAuthSecret, ConfigurationError, SdkError
from b24oauth.apps import B24App
from b24oauth.contrib.fastapi import setup
from b24oauth.stores import SQLiteStore

b24app = B24App(
    B24OAuthSecret(client_id=os.environ["B24OAUTH_CLIENT_ID"], client_secret=os.environ["B24OAUTH_CLIENT_SECRET"]),
    SQLiteStore(os.environ["B24OAUTH_STORE"]),
    session_key=os.environ["SESSION_KEY"],
    trusted_oauth_hosts=os.environ.get("B24OAUTH_TRUSTED_HOSTS", "oauth.bitrix.info,oauth.bitrix24.tech").split(","),
)
web = FastAPI()
setup(web, b24app, path="/bitrix24")


@web.get("/")
async def form() -> HTMLResponse:
    return HTMLResponse(
        "<form action='/login'>"
        "<label>Your portal <input name='domain' placeholder='example.bitrix24.com' required></label>"
        "<button>Log in</button>"
        "</form>"
    )


@web.get("/login")
async def login(domain: str, request: Request) -> Response:
    session = secrets.token_urlsafe(16)
    try:
        response = RedirectResponse(b24app.authorization_url(domain, session=session))
    except ConfigurationError as error:
        raise HTTPException(400, error.message) from None
    is_https = request.url.scheme == "https"
    response.set_cookie("session", session, max_age=900, httponly=True, samesite="lax", secure=is_https)
    return response


@web.get("/returned")
async def returned(request: Request) -> HTMLResponse:
    session = request.cookies.get("session", "")
    try:
        b24 = await b24app.exchange_code(request.url.query, session=session)
    except SdkError as error:
        raise HTTPException(403, error.message) from None
    me = await b24.call("profile")
    params = {"filter": {"RESPONSIBLE_ID": me["ID"], "!STATUS": 5}, "select": ["ID", "TITLE"]}
    tasks = [f"<li>{escape(task['title'])}</li>" async for task in b24.rows("tasks.task.list", params)]
    name = escape(f"{me['NAME']} {me['LAST_NAME']}")
    response = HTMLResponse(
        f"<h1>Hello, {name}</h1>"
        f"<p>You have {len(tasks)} open tasks:</p><ul>{''.join(tasks)}</ul>"
        "<p><a href='/'>Log in as somebody else</a></p>"
    )
    response.delete_cookie("session")
    return response
