"""A request and a response without a web framework; `b24oauth.contrib` has adapters for frameworks."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

__all__ = ["Request", "Response"]


@attrs.frozen(kw_only=True)
class Request:
    """An HTTP request as it arrived.

    Attributes:
        path: Its path, below where the application is mounted.
        query: The query string, still encoded.
        content_type: Media type of the body.
        body: The whole body.
    """

    path: str = "/"
    query: str = attrs.field(default="", repr=False)
    content_type: str = ""
    body: bytes = attrs.field(default=b"", repr=False)


@attrs.frozen(kw_only=True)
class Response:
    """What is answered.

    Attributes:
        status: HTTP status.
        body: The body.
        content_type: Its media type.
        headers: Further headers.
    """

    status: int = 200
    body: bytes = attrs.field(default=b"", repr=False)
    content_type: str = "text/html; charset=utf-8"
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])
