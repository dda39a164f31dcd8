"""Handles the responses of a download: writes file bytes, or detects an error."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Final

import attrs

from b24oauth.errors import AjaxError, BadResponseError, NetworkError, RequestInfo
from b24oauth.limits.base import Admission
from b24oauth.protocol.decoding import RawResponse, decode_clean, parse_json
from b24oauth.protocol.downloads import FileHead, file_head, last_segment, looks_like_page, told_error
from b24oauth.protocol.endpoints import host_of
from b24oauth.rest.retry import is_about_token
from b24oauth.result import AjaxQuery
from b24oauth.sinks import Sink
from b24oauth.wire import StreamedResponse

__all__ = ["Failed", "Hop", "Job", "Progress", "bad", "receive"]

Progress = Callable[[int, int | None], Awaitable[object] | object]

# Maximum number of bytes read from an error page.
_LONGEST_PAGE: Final = 64 * 1024


@attrs.define(eq=False, kw_only=True)
class Job:
    """State of one download.

    Attributes:
        source: Address or identifier of the file.
        query: Method and request id, for errors.
        sink: Where it is written.
        max_bytes: Bytes at most; None for no such limit.
        on_progress: Called with the number of bytes written and, where known, of the whole file.
        name: The name of the file, as far as it is known.
        content_type: Its MIME type.
        written: Bytes in the sink.
        validator: ETag or Last-Modified of the file, for If-Range; None if the download cannot be resumed.
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
        """The request, for errors."""
        return RequestInfo(method=self.query.method, request_id=self.query.request_id)


@attrs.frozen(kw_only=True)
class Hop:
    """One request of a download.

    Attributes:
        url: The address.
        from_portal: True if the request goes to the portal, False if to external storage.
        bearer: The token in a header; None when the address has its own, or must not see any.
        secrets: What no error may repeat.
    """

    url: str = attrs.field(repr=False)
    from_portal: bool
    bearer: str | None = attrs.field(repr=False)
    secrets: tuple[str, ...] = attrs.field(repr=False)


class Failed(Exception):  # noqa: N818 - carries an error
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


async def receive(job: Job, hop: Hop, answer: StreamedResponse, token: str | None) -> None:
    """Writes the body of a response to the download's destination.

    Args:
        job: The download.
        hop: The request.
        answer: The response, its body not read yet.
        token: The token that the address contains or was requested with; None without one.

    Raises:
        Failed: The response is not a file, or it is incomplete.
    """
    if answer.status == 416:
        # The bytes written so far are not the beginning of the current file.
        await _restart(job)
        raise _broken_off("The file has changed while it was downloaded", job)
    if answer.status not in (200, 206):
        begun, _ = await _beginning(answer)
        raise _error_in(job, hop, answer, begun, token)
    head, begun = file_head(answer.status, answer.headers, from_portal=hop.from_portal), b""
    if head.may_be_error:
        begun, whole = await _beginning(answer)
        if whole and told_error(parse_json(begun)):
            raise _error_in(job, hop, answer, begun, token)
    if head.is_page or (head.may_be_error and looks_like_page(begun)):
        message = (
            "The portal sends an HTML page instead of the file: the address has expired, or it only works in a "
            "browser; read it again"
        )
        raise bad(message, "B24OAUTH_DOWNLOAD_PAGE", job)
    await _store(job, hop, head, begun, answer)


def _error_in(job: Job, hop: Hop, answer: StreamedResponse, body: bytes, token: str | None) -> Failed:
    if not hop.from_portal and answer.status in (429, 503):
        # Says nothing of the portal's limits.
        return _broken_off(f"{host_of(hop.url)} is busy", job)
    error = decode_clean(RawResponse(answer.status, answer.headers, body), job.query, hop.secrets)
    if not isinstance(error, AjaxError):
        message = (
            "The portal sends an error instead of the file: the address may only work in a browser; take another "
            "address from a response, such as urlMachine or DOWNLOAD_URL"
        )
        return bad(message, "B24OAUTH_DOWNLOAD_PAGE", job)
    about_token = hop.from_portal and is_about_token(error)
    if about_token and token is None:
        error.add_note("The token in the address is refused: read the address again")
    return Failed(error, final=answer.status == 200, refused=token if about_token else None)


async def _store(job: Job, hop: Hop, head: FileHead, begun: bytes, answer: StreamedResponse) -> None:
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


def _check_size(job: Job, size: int | None) -> None:
    if job.max_bytes is not None and size is not None and size > job.max_bytes:
        message = f"The file is larger than the {job.max_bytes} bytes allowed; pass a larger max_bytes"
        raise bad(message, "B24OAUTH_DOWNLOAD_TOO_LARGE", job)


async def _restart(job: Job) -> None:
    """Restarts the download, because the file changed or the server does not support ranges."""
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


def _broken_off(message: str, job: Job, *, final: bool = False) -> Failed:
    return Failed(NetworkError(message, code="NETWORK_ERROR", request_info=job.info), final=final)


def bad(message: str, code: str, job: Job) -> Failed:
    """The failure of a download that a repeat would not change."""
    return Failed(BadResponseError(message, code=code, status=200, request_info=job.info), final=True)
