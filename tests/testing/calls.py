"""A minimal client of the fake portal: plain httpx, nothing of the library."""

import httpx


class Caller:
    def __init__(self, portal, *, transport=None, timeout=30.0):
        self.portal = portal
        self.pair = portal.issue()
        self.http = httpx.AsyncClient(transport=transport or portal.transport(), timeout=timeout)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.http.aclose()

    async def v2(self, method, params=None, *, token=None, query=""):
        body = {**(params or {}), "auth": token or self.pair.access_token}
        return await self.http.post(f"{self.portal.client_endpoint}{method}{query}", json=body)

    async def v3(self, method, params=None, *, headers=None):
        url = f"{self.portal.client_endpoint}api/{method}"
        bearer = {"Authorization": f"Bearer {self.pair.access_token}"}
        return await self.http.post(url, json={} if params is None else params, headers=bearer | (headers or {}))

    async def result(self, method, params=None):
        answer = await self.v2(method, params)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    async def items(self, method, params=None):
        answer = await self.v3(method, params)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]["items"]

    async def batch(self, cmd, *, halt=0):
        return await self.result("batch", {"cmd": cmd, "halt": halt})

    async def token(self, **form):
        secret = self.portal.secret
        form = {"client_id": secret.client_id, "client_secret": secret.client_secret, **form}
        return await self.http.post(self.portal.server_endpoint.replace("/rest/", "/oauth/token/"), data=form)

    async def renew(self, refresh_token=None):
        return await self.token(grant_type="refresh_token", refresh_token=refresh_token or self.pair.refresh_token)


def error(answer):
    body = answer.json()["error"]
    return answer.status_code, body if isinstance(body, str) else body["code"]
