"""`b24.download`: a file of the portal, streamed to where the caller wants it, resumed when the connection breaks."""

from __future__ import annotations

import inspect
import random
import re
import uuid
from collections.abc import Awaitable, Callable
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
    NetworkError,
    RequestInfo,
    RequestTimeoutError,
    UntrustedHostError,
)
from b24oauth.limits.rate import Admission
from b24oauth.protocol.decoding import RawResponse, decode_clean, parse_json
from b24oauth.protocol.downloads import (
    FileHead,
    belongs_to_portal,
    carries_token,
    file_head,
    last_segment,
    looks_like_page,
    tokens_in,
    told_error,
)
from b24oauth.protocol.endpoints import file_address, host_of, portal_origin, rest_root
from b24oauth.rest.client import HttpClient
from b24oauth.rest.failures import nothing_sent, out_of_time, without_response
from b24oauth.rest.request import HEADERS
from b24oauth.rest.retry import Next, RepeatRule, asked_pause, backoff, is_about_token, next_step, rate_backoff_factor
from b24oauth.rest.services import Services
from b24oauth.result import AjaxQuery
from b24oauth.scrubbing import scrub
from b24oauth.shapes import is_mapping
from b24oauth.sinks import Sink, Writable, sink_for
from b24oauth.wire import Deadline, NoResponse, StreamedResponse

__all__ = ["MAX_BYTES", "Download", "Downloader", "Progress", "Writable"]

Progress = Callable[[int, int | None], Awaitable[object] | object]

MAX_BYTES: Final = 1 << 30
_METHOD: Final = "download"
_FILE_METHOD: Final = "disk.file.get"
# Bytes of an attempt after which it does not count as failed.
_PROGRESS: Final = 64 * 1024
_MOST_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# Of an error page, bytes.
_LONGEST_PAGE: Final = 64 * 1024
_IDENTIFIER: Final = re.compile(r"0*[1-9][0-9]{0,17}", re.ASCII)
# Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/general-principles.html
_HEADERS: Final = MappingProxyType(
    {
        "User-Agent": HEADERS["User-Agent"],
        "Accept": "*/*",
        "Accept-Language": "en-US,en;q=0.9",
        "Accept-Encoding": "identity",  # positions in a packed body are not positions in the file
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


@attrs.define(eq=False, kw_only=True)
class _Job:
    """How one download stands.

    Attributes:
        source: Address or identifier of the file.
        query: Method and request id, for errors.
        sink: Where it is written.
        max_bytes: Bytes at most; None for no such limit.
        on_progress: Called with the number of bytes written and, where known, of the whole file.
        name: The name of the file, as far as it is known.
        content_type: Its MIME type.
        written: Bytes in the sink.
        validator: Identifies their version of the file; None when the rest cannot be requested.
        renewed: True when a token was renewed for it.
        place: Place of the last request to the portal in its bucket.
    """

    source: str | int
    query: AjaxQuery
    sink: Sink
    max_bytes: int | None
    on_progress: Progress | None
    name: str | None = None
    content_type: str = ""
    written: int = 0
    validator: str | None = None
    renewed: bool = False
    admission: Admission | None = None

    @property
    def info(self) -> RequestInfo:
        return RequestInfo(method=self.query.method, request_id=self.query.request_id)


@attrs.frozen(kw_only=True)
class _Hop:
    """One request of a download.

    Attributes:
        url: The address.
        from_portal: Whether the portal is asked, and not a storage elsewhere.
        bearer: The token in a header; None when the address has its own, or must not see any.
        secrets: What no error may repeat.
    """

    url: str = attrs.field(repr=False)
    from_portal: bool
    bearer: str | None = attrs.field(repr=False)
    secrets: tuple[str, ...] = attrs.field(repr=False)


class _Failed(Exception):  # noqa: N818 - carries an error
    """An attempt that brought no file.

    Attributes:
        error: What went wrong.
        final: True when a repeat would not change it.
        refused: The token that the portal does not accept; None when that is not the reason.
    """

    def __init__(self, error: AjaxError, *, final: bool = False, refused: str | None = None) -> None:
        super().__init__(error.code)
        self.error = error
        self.final = final
        self.refused = refused


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
        job = _Job(source=source, query=query, sink=sink_for(to), max_bytes=max_bytes, on_progress=on_progress)
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

    async def _attempts(self, job: _Job) -> None:
        limits = self._services.limits
        rule = RepeatRule(params=limits.get_params(), harmless=True, keyed=False)
        if rule.params.max_retries < 1:
            raise nothing_sent(job.query)
        attempt, url, token = 0, "", None
        while True:
            is_fresh, before = not url, job.written
            if is_fresh:
                url, token = await self._address(job)
            try:
                await self._fetch(job, url, token)
            except _Failed as raised:
                failed = raised
            else:
                return
            self._services.wire.enter_loop()  # nothing more comes once the client is closed
            error = failed.error
            if failed.refused and not job.renewed:
                job.renewed, url = True, ""
                if await self._services.credentials.after_refusal(failed.refused, accepted=False) is None:
                    raise error
            elif token is not None and not is_fresh and 400 <= error.status < 429:
                url = ""  # it was good once only, or has expired; the drive gives another one
            else:
                # A connection that breaks again and again is no reason to give up a file that comes on.
                attempt = 1 if job.written - before >= _PROGRESS else attempt + 1
                pause = None if failed.final else await self._pause(job, error, rule, attempt)
                if pause is None:
                    raise error
                await self._services.pause(pause)
                limits.repeated()

    async def _pause(self, job: _Job, error: AjaxError, rule: RepeatRule, attempt: int) -> float | None:
        """Seconds to wait before the next attempt; None when there is none."""
        limits = self._services.limits
        step = next_step(error, rule, sent=True)
        # The limits must know of a refusal even when this download gives up: other requests must slow down.
        pause, asked = 0.0, asked_pause(error, rule.params)
        if step is Next.WAIT_FOR_BUDGET:
            pause = limits.operating.refused(_METHOD, retry_after=asked or 0.0)
        elif step is Next.WAIT_FOR_RATE:
            pause = await limits.rate.refused(job.admission, retry_after=asked or 0.0) * rate_backoff_factor(
                attempt - 1
            )
        if step is Next.STOP or asked is None or attempt >= rule.params.max_retries:
            return None
        jitter = random.uniform(-1, 1)  # noqa: S311 - no secret depends on this randomness
        return max(pause, asked) or backoff(attempt - 1, rule.params, jitter=jitter)

    async def _address(self, job: _Job) -> tuple[str, str | None]:
        """The address of the file, and the token that a drive's file was asked for with."""
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

    async def _fetch(self, job: _Job, url: str, token: str | None) -> None:
        """Asks for the file, or for the rest of it, and follows redirects."""
        try:
            at_home = True
            for _ in range(_MOST_REDIRECTS + 1):
                hop = await self._hop(url, may_see_token=at_home)
                at_home = at_home and hop.from_portal
                async with AsyncExitStack() as stack:
                    answer = await self._sent(job, hop, stack)
                    location = answer.headers.get("location")
                    if answer.status not in _REDIRECTS or not location:
                        await self._receive(job, hop, answer, token or hop.bearer)
                        return
                    url = file_address(location, hop.url, self._services.trusted_hosts)
        except NoResponse as failure:
            keeper = self._services.credentials
            failed = _Failed(without_response(failure, job.query, keeper.secrets(keeper.params)))
        else:
            failed = _bad("The file is redirected too often", "B24OAUTH_DOWNLOAD_REDIRECTS", job)
        raise failed

    async def _hop(self, url: str, *, may_see_token: bool) -> _Hop:
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
        return _Hop(url=address, from_portal=from_portal, bearer=bearer, secrets=(*secrets, *tokens_in(address)))

    async def _sent(self, job: _Job, hop: _Hop, stack: AsyncExitStack) -> StreamedResponse:
        services = self._services
        headers = dict(_HEADERS)
        if hop.bearer is not None:
            headers["Authorization"] = f"Bearer {hop.bearer}"
        if hop.from_portal:
            root = rest_root(services.credentials.params.client_endpoint, services.trusted_hosts)
            headers["Referer"] = f"{portal_origin(root)}/"
        if job.written and job.validator is not None:
            headers |= {"Range": f"bytes={job.written}-", "If-Range": job.validator}
        # A callback of the renewal must not wait behind those who wait for the renewal. The gate is left when the
        # headers are there: a long download must not keep calls waiting.
        outside = not services.credentials.is_inside()
        if outside:
            await services.enter_gate()
        try:
            job.admission = await services.admit() if hop.from_portal else None
            try:
                answer = await stack.enter_async_context(services.wire.stream(hop.url, headers))
            except (NoResponse, ConfigurationError) as failure:
                if job.admission is not None and not (isinstance(failure, NoResponse) and failure.sent):
                    services.limits.rate.never_sent(job.admission)
                raise
        finally:
            if outside:
                services.gate.leave()
        if job.admission is not None and answer.status < 400:
            services.limits.observe({}, job.admission)
        return answer

    async def _receive(self, job: _Job, hop: _Hop, answer: StreamedResponse, token: str | None) -> None:
        if answer.status == 416:
            # The bytes written so far are not the beginning of the current file.
            await _restart(job)
            raise _broken_off("The file has changed while it was downloaded", job)
        if answer.status not in (200, 206):
            begun, _ = await _beginning(answer)
            raise self._error_in(job, hop, answer, begun, token)
        head, begun = file_head(answer.status, answer.headers, from_portal=hop.from_portal), b""
        if head.may_be_error:
            begun, whole = await _beginning(answer)
            if whole and told_error(parse_json(begun)):
                raise self._error_in(job, hop, answer, begun, token)
        if head.is_page or (head.may_be_error and looks_like_page(begun)):
            message = (
                "The portal sends an HTML page instead of the file: the address has expired, or it only works in a "
                "browser; read it again"
            )
            raise _bad(message, "B24OAUTH_DOWNLOAD_PAGE", job)
        await self._store(job, hop, head, begun, answer)

    def _error_in(self, job: _Job, hop: _Hop, answer: StreamedResponse, body: bytes, token: str | None) -> _Failed:
        if not hop.from_portal and answer.status in (429, 503):
            # Says nothing of the portal's limits.
            return _broken_off(f"{host_of(hop.url)} is busy", job)
        error = decode_clean(RawResponse(answer.status, answer.headers, body), job.query, hop.secrets)
        if not isinstance(error, AjaxError):
            message = (
                "The portal sends an error instead of the file: the address may only work in a browser; take another "
                "address from a response, such as urlMachine or DOWNLOAD_URL"
            )
            return _bad(message, "B24OAUTH_DOWNLOAD_PAGE", job)
        about_token = hop.from_portal and is_about_token(error)
        if about_token and token is None:
            error.add_note("The token in the address is refused: read the address again")
        return _Failed(error, final=answer.status == 200, refused=token if about_token else None)

    async def _store(self, job: _Job, hop: _Hop, head: FileHead, begun: bytes, answer: StreamedResponse) -> None:
        other_version = head.begin != 0 and job.validator is not None and head.validator not in (None, job.validator)
        if head.begin != job.written or other_version:
            await _restart(job)
            if head.begin != 0:
                raise _broken_off("The server sends a part of another version of the file", job)
        job.validator, job.content_type = head.validator, head.content_type
        job.name = head.name or job.name or (None if hop.from_portal else last_segment(hop.url))
        _check_size(job, head.size)
        part: bytes | None = begun or await anext(answer, None)
        while part is not None:
            _check_size(job, job.written + len(part))
            await job.sink.write(part)
            job.written += len(part)
            if job.on_progress is not None:
                told = job.on_progress(job.written, head.size)
                if inspect.isawaitable(told):
                    await told
            part = await anext(answer, None)
        if head.size is not None and job.written != head.size:
            raise _broken_off(f"The file broke off after {job.written} of {head.size} bytes", job)


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


def _check_size(job: _Job, size: int | None) -> None:
    if job.max_bytes is not None and size is not None and size > job.max_bytes:
        message = f"The file is larger than the {job.max_bytes} bytes allowed; pass a larger max_bytes"
        raise _bad(message, "B24OAUTH_DOWNLOAD_TOO_LARGE", job)


async def _restart(job: _Job) -> None:
    """Starts again: the bytes written are of another version, or the server only sends whole files."""
    if job.written and not await job.sink.restart():
        message = "The download broke off, and `to` cannot be written to from its beginning again"
        raise _broken_off(message, job, final=True)
    job.written, job.validator = 0, None


async def _beginning(answer: StreamedResponse) -> tuple[bytes, bool]:
    """The beginning of a body, and whether it is all of it."""
    begun = bytearray()
    async for part in answer:
        begun += part
        if len(begun) > _LONGEST_PAGE:
            return bytes(begun), False
    return bytes(begun), True


def _broken_off(message: str, job: _Job, *, final: bool = False) -> _Failed:
    return _Failed(NetworkError(message, code="NETWORK_ERROR", request_info=job.info), final=final)


def _bad(message: str, code: str, job: _Job) -> _Failed:
    return _Failed(BadResponseError(message, code=code, status=200, request_info=job.info), final=True)
