"""Small things that tests arrange: a pair, a secret, a question, an answer, an error."""

from __future__ import annotations

import json
from typing import Any

from b24oauth import AjaxError, AjaxResult, B24OAuthParams, B24OAuthSecret
from b24oauth.error_codes import error_for
from b24oauth.errors import RequestInfo
from b24oauth.protocol.decoding import RawResponse
from b24oauth.result import AjaxQuery

ACCESS = "access-S3CR3T"
REFRESH = "refresh-S3CR3T"
CLIENT_SECRET = "client-S3CR3T"
PLANTED = "S3CR3T"

FIELDS: dict[str, Any] = {
    "access_token": ACCESS,
    "refresh_token": REFRESH,
    "expires": 1_700_003_600,
    "client_endpoint": "https://portal.bitrix24.com/rest/",
    "server_endpoint": "https://oauth.bitrix.info/rest/",
    "domain": "portal.bitrix24.com",
    "member_id": "member-1",
    "application_token": "application-S3CR3T",
    "user_id": 7,
    "expires_in": 3600,
    "scope": "crm,task",
    "status": "L",
}


def params(**changes: Any) -> B24OAuthParams:
    return B24OAuthParams(**(FIELDS | changes))


def secret() -> B24OAuthSecret:
    return B24OAuthSecret(client_id="app.1", client_secret=CLIENT_SECRET)


def query(method: str = "x.get", params: Any = None, request_id: str = "request-1") -> AjaxQuery:
    return AjaxQuery(method=method, params={} if params is None else params, request_id=request_id)


def answer(body: Any = None, status: int = 200, **headers: str) -> RawResponse:
    """An HTTP answer; bytes are sent as they are, anything else as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return RawResponse(status, headers, raw)


def result(payload: Any, *, params: Any = None) -> AjaxResult[Any]:
    return AjaxResult(payload, query=query(params=params))


def error(code: str = "ERROR_CORE", status: int = 400, message: str = "It went wrong") -> AjaxError:
    return error_for(code, status, message, request_info=RequestInfo(method="x.get", request_id="request-1"))
