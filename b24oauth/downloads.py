"""`b24.download`: downloads a file from the portal as a stream and resumes after a lost connection."""

from __future__ import annotations

import random
import re
import uuid
from contextlib import AsyncExitStack
from os import PathLike
from types import MappingProxyType
from typing import Final

import attrs

from b24oauth.checks import at_least, check_function, check_seconds
from b24oauth.errors import (
    AjaxError,
    BadResponseError,
    ConfigurationError,
    RequestInfo,
    RequestTimeoutError,
    UntrustedHostError,
)
from b24oauth.protocol.downloads import (
    belongs_to_portal,
    carries_token,
    tokens_in,
)
from b24oauth.protocol.endpoints import file_address, host_of, portal_origin, rest_root
from b24oauth.receiving import Failed, Hop, Job, Progress, bad, receive
from b24oauth.rest.client import HttpClient
from b24oauth.rest.failures import nothing_sent, out_of_time, without_response
from b24oauth.rest.request import HEADERS
from b24oauth.rest.retry import Next, RepeatRule, asked_pause, backoff, next_step, rate_backoff_factor
from b24oauth.rest.services import Services
from b24oauth.result import AjaxQuery
from b24oauth.scrubbing import scrub
from b24oauth.shapes import is_mapping
from b24oauth.sinks import Writable, sink_for
from b24oauth.wire import Deadline, NoResponse, StreamedResponse

__all__ = ["Download", "Downloader", "Progress", "Writable"]

_METHOD: Final = "download"
_FILE_METHOD: Final = "disk.file.get"
# An attempt that received at least this many bytes does not count towards max_retries.
_PROGRESS: Final = 64 * 1024
_MOST_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_IDENTIFIER: Final = re.compile(r"0*[1-9][0-9]{0,17}", re.ASCII)
# Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/general-principles.html
_HEADERS: Final = MappingProxyType(
    {
        "User-Agent": HEADERS["User-Agent"],
        "Accept": "*/*",
        "Accept-Language": "en-US,en;q=0.9",
        "Accept-Encoding": "identity",  # byte ranges of a compressed body do not correspond to file offsets
    }
)


@attrs.frozen(kw_only=True)
class Download:
    """A file that was downloaded.

    Attributes:
        name: Its name at the portal, without directories; None when unknown.
        size: Its size, bytes.
        content_type: Its MIME type; empty when unknown.
    """

    name: str | None
    size: int
    content_type: str


class Downloader:
    """Downloads files.

    Args:
        http: Makes REST calls of v2.
        services: What it shares with them.
    """

    def __init__(self, http: HttpClient, services: Services) -> None:
        self._http = http
        self._services = services

    async def download(
        self,
        source: str | int,
        to: str | PathLike[str] | Writable,
        *,
        max_bytes: int | None,
        timeout: float | None,
        on_progress: Progress | None,
        request_id: str | None,
    ) -> Download:
        """Downloads a file; see `B24OAuth.download`."""
        self._services.wire.enter_loop()
        _check(source, max_bytes, timeout, on_progress)
        query = AjaxQuery(method=_METHOD, params={}, request_id=request_id or str(uuid.uuid4()))
        job = Job(source=source, query=query, sink=sink_for(to), max_bytes=max_bytes, on_progress=on_progress)
        deadline = Deadline(timeout)
        try:
            with self._http.operation():
                async with deadline:
                    try:
                        await job.sink.open()
                        await self._attempts(job)
                        await job.sink.finish()
                    finally:
                        await job.sink.discard()
        except TimeoutError as error:
            if isinstance(error, RequestTimeoutError) or not deadline.expired():
                raise
        else:
            self._services.log.debug("download completed", request_id=query.request_id, bytes=job.written)
            return Download(name=job.name, size=job.written, content_type=job.content_type)
        raise out_of_time(query, 0.0 if timeout is None else timeout)

    async def _attempts(self, job: Job) -> None:
        limits = self._services.limits
        rule = RepeatRule(params=limits.params, harmless=True, keyed=False)
        if rule.params.max_retries < 1:
            raise nothing_sent(job.query)
        attempt, url, token = 0, "", None
        while True:
            is_fresh, before = not url, job.written
            if is_fresh:
                url, token = await self._address(job)
            try:
                await self._fetch(job, url, token)
            except Failed as raised:
                failed = raised
            else:
                return
            self._services.wire.enter_loop()  # raises if the client was closed meanwhile
            error = failed.error
            if failed.refused and not job.renewed:
                job.renewed, url = True, ""
                if await self._services.credentials.after_refusal(failed.refused, accepted=False) is None:
                    raise error
            elif token is not None and not is_fresh and 400 <= error.status < 429:
                url = ""  # it was good once only, or has expired; the drive gives another one
            else:
                # Do not give up because of repeated disconnects as long as the download makes progress.
                attempt = 1 if job.written - before >= _PROGRESS else attempt + 1
                pause = None if failed.final else await self._pause(job, error, rule, attempt)
                if pause is None:
                    raise error
                await self._services.pause(pause)
                limits.repeated()

    async def _pause(self, job: Job, error: AjaxError, rule: RepeatRule, attempt: int) -> float | None:
        """Seconds to wait before the next attempt; None when there is none."""
        limits = self._services.limits
        step = next_step(error, rule, sent=True)
        # Report the rejection to the limits even if this download gives up, so that other requests slow down.
        pause, asked = 0.0, asked_pause(error, rule.params)
        if step is Next.WAIT_FOR_BUDGET:
            pause = limits.budget_refused([_METHOD], retry_after=asked or 0.0)
        elif step is Next.WAIT_FOR_RATE:
            pause = await limits.rate_refused(job.admission, retry_after=asked or 0.0) * rate_backoff_factor(
                attempt - 1
            )
        if step is Next.STOP or asked is None or attempt >= rule.params.max_retries:
            return None
        jitter = random.uniform(-1, 1)  # noqa: S311 - no secret depends on this randomness
        return max(pause, asked) or backoff(attempt - 1, rule.params, jitter=jitter)

    async def _address(self, job: Job) -> tuple[str, str | None]:
        """Returns the file URL and, for a Drive file ID, the access token that was used to request the URL."""
        if isinstance(job.source, str) and not job.source.strip().isdecimal():
            return job.source, None
        answer = await self._http.call(_FILE_METHOD, {"id": int(job.source)}, request_id=job.query.request_id)
        token = self._http.current_token()
        found = answer.raise_for_error().result
        url = found.get("DOWNLOAD_URL") if is_mapping(found) else None
        if not isinstance(url, str) or not url:
            raise BadResponseError(
                f"The response to {_FILE_METHOD} has no DOWNLOAD_URL",
                code="B24OAUTH_BAD_RESPONSE",
                status=200,
                request_info=RequestInfo(
                    method=_FILE_METHOD, params={"id": job.source}, request_id=job.query.request_id
                ),
            )
        name = found.get("NAME")
        job.name = name if isinstance(name, str) and name else None
        return url, token

    # --- one attempt -----------------------------------------------------------------------------------------------

    async def _fetch(self, job: Job, url: str, token: str | None) -> None:
        """Requests the file, or the rest of it, and follows redirects."""
        try:
            at_home = True
            for _ in range(_MOST_REDIRECTS + 1):
                hop = await self._hop(url, may_see_token=at_home)
                at_home = at_home and hop.from_portal
                async with AsyncExitStack() as stack:
                    answer = await self._sent(job, hop, stack)
                    location = answer.headers.get("location")
                    if answer.status not in _REDIRECTS or not location:
                        await receive(job, hop, answer, token or hop.bearer)
                        return
                    url = file_address(location, hop.url, self._services.trusted_hosts)
        except NoResponse as failure:
            keeper = self._services.credentials
            failed = Failed(without_response(failure, job.query, keeper.secrets(keeper.params)))
        else:
            failed = bad("The file is redirected too often", "B24OAUTH_DOWNLOAD_REDIRECTS", job)
        raise failed

    async def _hop(self, url: str, *, may_see_token: bool) -> Hop:
        keeper, trusted = self._services.credentials, self._services.trusted_hosts
        root = rest_root(keeper.params.client_endpoint, trusted)
        address = file_address(url, root, trusted)
        bearer: str | None = None
        if may_see_token and address.startswith(root) and not carries_token(address):
            pair = await keeper.get()
            root = rest_root(pair.client_endpoint, trusted)  # a renewal may have brought another one
            bearer = pair.access_token or None if address.startswith(root) else None
        from_portal = belongs_to_portal(address, root)
        secrets = keeper.secrets(keeper.params)
        if not from_portal and scrub(address, secrets) != address:
            raise UntrustedHostError(
                f"The address of the file leads to {host_of(address)}, which is not the portal, and holds a token; "
                "nothing was sent there. Read the address again: the portal may have been renamed",
                host=host_of(address),
            )
        return Hop(url=address, from_portal=from_portal, bearer=bearer, secrets=(*secrets, *tokens_in(address)))

    async def _sent(self, job: Job, hop: Hop, stack: AsyncExitStack) -> StreamedResponse:
        services = self._services
        headers = dict(_HEADERS)
        if hop.bearer is not None:
            headers["Authorization"] = f"Bearer {hop.bearer}"
        if hop.from_portal:
            root = rest_root(services.credentials.params.client_endpoint, services.trusted_hosts)
            headers["Referer"] = f"{portal_origin(root)}/"
        if job.written and job.validator is not None:
            headers |= {"Range": f"bytes={job.written}-", "If-Range": job.validator}
        # Refresh callbacks must not queue behind calls that wait for the refresh. The gate is released once the headers
        # have arrived, so that a long download does not block calls.
        outside = not services.credentials.is_inside()
        if outside:
            await services.enter_gate()
        try:
            job.admission = await services.admit() if hop.from_portal else None
            try:
                answer = await stack.enter_async_context(services.wire.stream(hop.url, headers))
            except (NoResponse, ConfigurationError) as failure:
                if job.admission is not None and not (isinstance(failure, NoResponse) and failure.sent):
                    services.limits.not_sent(job.admission)
                raise
        finally:
            if outside:
                services.gate.leave()
        if job.admission is not None and answer.status < 400:
            services.limits.succeeded(_METHOD, {}, job.admission)
        return answer


def _check(source: object, max_bytes: object, timeout: object, on_progress: object) -> None:
    text = source.strip() if isinstance(source, str) else ""
    is_id = isinstance(source, int) and not isinstance(source, bool) and source > 0
    is_address = text != "" and not text.isdecimal()
    if not is_id and not is_address and not _IDENTIFIER.fullmatch(text):
        raise ConfigurationError("download: the file is named by its address, or by its identifier on the drive")
    if max_bytes is not None:
        at_least(0)(max_bytes, "download: max_bytes")
    if timeout is not None:
        check_seconds(timeout, "download: timeout")
    if on_progress is not None:
        check_function(on_progress, "download: on_progress")
