"""How the fake portal serves files: signed addresses, parts of files, a storage elsewhere, and pages that are none."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote, urlsplit

import attrs

from b24oauth.testing.brackets import parse_query
from b24oauth.testing.bucket import LeakyBucket
from b24oauth.testing.files import SHOW_FILE, FileStore, Link, StoredFile
from b24oauth.testing.messages import Answer, Exchange, Request, RestError, dumps
from b24oauth.testing.tokens import TokenBook

__all__ = ["DOWNLOADS", "Downloads"]

DOWNLOADS = frozenset({"download", "crm.controller.item.getfile"})
_SESSION_PAGE = "bitrix/services/main/ajax.php"
_PART = re.compile(r"bytes=(\d+)-(\d*)\Z")
_HTML = (("content-type", "text/html; charset=UTF-8"),)
_LOGIN_PAGE = b"<!DOCTYPE html><html><head><title>Authorization</title></head><body><form>...</form></body></html>"
_NGINX_PAGE = b"<html><head><title>404 Not Found</title></head><body><center>nginx</center></body></html>"


@attrs.define(eq=False, kw_only=True)
class Downloads:
    """Answers GET requests for files.

    Attributes:
        files: The files.
        tokens: The tokens that exist.
        bucket: The budget of requests, which downloads use too.
        ranges: Whether parts of files can be asked for.
        one_use: Whether an address is good once.
        storage_origin: Where files are stored, when the portal only redirects to them; None when it serves them itself.
    """

    files: FileStore
    tokens: TokenBook
    bucket: LeakyBucket
    ranges: bool
    one_use: bool
    storage_origin: str | None
    _stored: dict[str, int] = attrs.field(init=False, factory=dict[str, int])

    def answer(self, exchange: Exchange) -> Answer | None:
        """The answer to a request for a file; None when it is for something else."""
        request = exchange.request
        if self.storage_origin and request.headers.get("host") == urlsplit(self.storage_origin).netloc:
            return self._from_storage(request)
        if exchange.method in (_SESSION_PAGE, SHOW_FILE):
            return self._from_page(exchange)
        return self._from_portal(exchange) if exchange.method in DOWNLOADS else None

    def _from_page(self, exchange: Exchange) -> Answer:
        """What pages for browsers answer: the file when a token stands in the address, else a form to log in."""
        query = parse_query(exchange.request.query)
        token, file = str(query.get("auth", "")), self.files.get(query.get("fileId"))
        exchange.token = self.tokens.label(token)
        try:
            self.tokens.session(token)
        except RestError:
            file = None
        if file is None or exchange.method == _SESSION_PAGE:
            return Answer(status=200, body=_LOGIN_PAGE, headers=_HTML)
        return self._served(file, exchange.request)

    def _from_portal(self, exchange: Exchange) -> Answer:
        request = exchange.request
        try:
            self.bucket.admit()
            file = self._signed(exchange)
        except RestError as error:
            body = dumps({"error": error.code, "error_description": error.text})
            return Answer(status=error.status, body=body)
        if not _is_identified(request):
            # The response names the file anyway.
            return Answer(status=404, body=_NGINX_PAGE, headers=(*_HTML, _disposition(file)))
        if self.storage_origin is None:
            return self._served(file, request)
        key = f"{len(self._stored)}/{quote(file.name)}"
        self._stored[key] = file.file_id
        location = f"{self.storage_origin}/{key}?X-Amz-Signature=one-use"
        return Answer(status=302, body=b"", headers=(("location", location),))

    def _signed(self, exchange: Exchange) -> StoredFile:
        """The file that a signed address stands for.

        Raises:
            RestError: The token is not good, or the address is not.
        """
        query = parse_query(exchange.request.query)
        scheme, _, bearer = exchange.request.headers.get("authorization", "").partition(" ")
        in_address = str(query.get("auth", ""))
        token = bearer if scheme.lower() == "bearer" else in_address
        exchange.token = self.tokens.label(token)
        if exchange.webhook is None:
            self.tokens.session(token)
        else:
            self.tokens.webhook_session(*exchange.webhook)
        link: Link | None = self.files.links.get(str(query.get("token")))
        # What stands in the address is signed: a token that is added or exchanged makes it void.
        if link is None or link.auth != in_address or ((self.one_use or link.is_for_one_use) and link.used):
            raise RestError("ACCESS_DENIED", "Link check failed", status=403)
        link.used += 1
        file = self.files.get(link.file_id)
        if file is None:
            raise RestError("ERROR_NOT_FOUND", "Could not find entity.", status=404)
        return file

    def _from_storage(self, request: Request) -> Answer:
        if "authorization" in request.headers:
            text = b"<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>"
            return Answer(status=400, body=text, headers=(("content-type", "application/xml"),))
        file = self.files.get(self._stored.get(quote(request.path.lstrip("/"))))
        if file is None:
            text = b"<Error><Code>AccessDenied</Code></Error>"
            return Answer(status=403, body=text, headers=(("content-type", "application/xml"),))
        return self._served(file, request)

    def _served(self, file: StoredFile, request: Request) -> Answer:
        modified = format_datetime(datetime.fromtimestamp(int(file.modified), UTC), usegmt=True)
        headers = [
            ("content-type", file.content_type),
            _disposition(file),
            ("etag", file.etag),
            ("last-modified", modified),
            ("accept-ranges", "bytes" if self.ranges else "none"),
        ]
        part = _PART.match(request.headers.get("range", "")) if self.ranges else None
        if part is None or not _is_unchanged(request.headers.get("if-range"), file, modified):
            return Answer(status=200, body=file.content, headers=tuple(headers))
        size, begin = len(file.content), int(part[1])
        end = min(int(part[2]), size - 1) if part[2] else size - 1
        if begin >= size:
            return Answer(status=416, body=b"", headers=(("content-range", f"bytes */{size}"),))
        headers.append(("content-range", f"bytes {begin}-{end}/{size}"))
        return Answer(status=206, body=file.content[begin : end + 1], headers=tuple(headers))


def _is_identified(request: Request) -> bool:
    """A download needs the headers that a real client sends, and no technical `User-Agent`.

    Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/general-principles.html
    """
    agent = request.headers.get("user-agent", "")
    technical = not agent or agent.lower().startswith(("python", "aiohttp", "curl"))
    return not technical and all(request.headers.get(name) for name in ("accept", "accept-language", "referer"))


def _is_unchanged(validator: str | None, file: StoredFile, modified: str) -> bool:
    return validator in {None, file.etag, modified}


def _disposition(file: StoredFile) -> tuple[str, str]:
    plain = file.name.encode("ascii", "replace").decode().replace('"', "'").replace("?", "_")
    return "content-disposition", f"attachment; filename=\"{plain}\"; filename*=utf-8''{quote(file.name)}"
