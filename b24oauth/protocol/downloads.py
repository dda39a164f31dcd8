"""What the response to a download means: the file, a part of it, or a page instead of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import Final, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from b24oauth.shapes import is_list, is_mapping

__all__ = [
    "FileHead",
    "belongs_to_portal",
    "carries_token",
    "file_head",
    "last_segment",
    "looks_like_page",
    "tokens_in",
    "told_error",
]

# Content types of error responses. A real file of such a type is sent with a file name.
_PAGE: Final = frozenset({"text/html", "application/xhtml+xml"})
_TOLD: Final = frozenset({"application/json", "text/json", "text/plain", ""})
_PART: Final = re.compile(r"bytes (\d+)-\d+/(\d+|\*)\Z", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,18}\Z", re.ASCII)
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f]")
_AUTH: Final = frozenset({"auth", "access_token"})
_TOKENS: Final = _AUTH | {"token"}


@attrs.frozen(kw_only=True)
class FileHead:
    """What the headers of a response say about a file.

    Attributes:
        name: Its name, without directories; None when unknown.
        content_type: MIME type without parameters; empty when unknown.
        begin: Position of the first byte of the body in the file; None for a part whose position is unknown.
        size: Size of the whole file, bytes; None when unknown.
        validator: Identifies this version in `If-Range`; None when the rest cannot be requested.
        is_page: True when the body is an HTML page instead of a file.
        may_be_error: True when the body may be an error instead of a file.
    """

    name: str | None
    content_type: str
    begin: int | None
    size: int | None
    validator: str | None
    is_page: bool
    may_be_error: bool


def file_head(status: int, headers: Mapping[str, str], *, from_portal: bool) -> FileHead:
    """Reads the headers of a response to a download.

    Args:
        status: HTTP status, 200 or 206.
        headers: Headers, names in any case.
        from_portal: True if the portal itself responds; it also sends errors and login pages with status 200.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    disposition = headers.get("content-disposition", "")
    part = _PART.match(headers.get("content-range", "")) if status == 206 else None
    length = headers.get("content-length", "")
    begin = int(part[1]) if part else 0 if status == 200 else None
    size: int | None = None
    if part:
        size = int(part[2]) if part[2] != "*" else None
    elif status == 200 and _NUMBER.match(length) and not headers.get("content-encoding"):
        size = int(length)
    etag = headers.get("etag", "")
    unnamed = from_portal and not disposition
    return FileHead(
        name=_name(disposition),
        content_type=kind,
        begin=begin,
        size=size,
        # A weak ETag does not guarantee identical bytes, and a compressed body has different byte offsets.
        validator=None
        if headers.get("content-encoding") or headers.get("accept-ranges", "").strip().lower() == "none"
        else (etag if etag.startswith('"') else headers.get("last-modified")) or None,
        is_page=unnamed and kind in _PAGE,
        may_be_error=unnamed and kind in _TOLD,
    )


def told_error(body: object) -> bool:
    """True when decoded JSON is the error of a REST method, or the error of a URL that requires a browser session."""
    if not is_mapping(body):
        return False
    return "error" in body or (body.get("status") == "error" and is_list(body.get("errors")))


def looks_like_page(body: bytes) -> bool:
    """True for the beginning of an HTML page."""
    return body.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html"))


def belongs_to_portal(url: str, rest_root: str) -> bool:
    """True when an address has the scheme, host and port of a portal."""
    return _origin(url) == _origin(rest_root)


def carries_token(url: str) -> bool:
    """True when an address has a token of its own, as signed addresses do."""
    names = (name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True))
    return any(name.partition("[")[0] in _AUTH for name in names)


def tokens_in(url: str) -> tuple[str, ...]:
    """The tokens in a URL, to be masked in errors."""
    return tuple(value for name, value in parse_qsl(urlsplit(url).query) if name.partition("[")[0] in _TOKENS)


def last_segment(url: str) -> str | None:
    """The last part of the path of an address, as a name for a file."""
    return _plain_name(unquote(urlsplit(url).path))


def _plain_name(name: str) -> str | None:
    """A file name without directories and control characters; None when nothing is left."""
    bare = _UNPRINTABLE.sub("", re.split(r"[/\\]", name)[-1]).strip()
    return bare if bare not in ("", ".", "..") else None


def _name(disposition: str) -> str | None:
    if not disposition:
        return None
    message = Message()
    message["Content-Disposition"] = _UNPRINTABLE.sub("", disposition)
    # The extended form (filename*) is a tuple; it can contain characters that the plain form cannot.
    values: list[object] = [
        value for name, value in message.get_params([], "content-disposition") if name.lower() == "filename"
    ]
    values.sort(key=lambda value: isinstance(value, str))
    if not values:
        return None
    found = collapse_rfc2231_value(cast("str | tuple[str | None, str | None, str]", values[0]))
    with suppress(ValueError):
        found = found.encode("latin-1").decode()  # sent as plain UTF-8, which HTTP reads as Latin-1
    return _plain_name(found)


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)
