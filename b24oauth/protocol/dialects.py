"""How the two versions of the REST API differ: one row of a table each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import quote

import attrs

from b24oauth.models import ApiVersion

__all__ = ["DIALECTS", "Dialect", "is_plain_read", "sends_telemetry"]


@attrs.frozen(kw_only=True)
class Dialect:
    """One version of the REST API.

    Attributes:
        version: Its name.
        path: What stands between the REST root and the method.
        batch_auth: Where the token of a `batch` travels.
        idempotency_key: True when the portal honours the header `Idempotency-Key`.
    """

    version: ApiVersion
    path: str
    batch_auth: Literal["body", "bearer"]
    idempotency_key: bool

    def url(self, rest_root: str, method: str) -> str:
        """The address of a method.

        Args:
            rest_root: REST root of the portal, ending in a slash.
            method: REST method; whatever is not a name is percent-encoded.
        """
        return f"{rest_root}{self.path}{quote(method, safe='')}"


# Source: https://apidocs.bitrix24.com/api-reference/rest-v3/index.html
DIALECTS: Final[Mapping[ApiVersion, Dialect]] = {
    ApiVersion.V2: Dialect(version=ApiVersion.V2, path="", batch_auth="body", idempotency_key=False),
    ApiVersion.V3: Dialect(version=ApiVersion.V3, path="api/", batch_auth="bearer", idempotency_key=True),
}

_READS: Final = frozenset(
    {"aggregate", "count", "current", "fields", "get", "getfields", "getlist", "info", "list", "search", "tail"}
)
_READS_BY_NAME: Final = frozenset(
    {"events", "methods", "method.get", "profile", "rest.documentation.openapi", "scope", "server.time"}
)
# Their names say `get`, but asking takes something away or creates it.
_NOT_READS: Final = frozenset({"event.offline.get"})


def is_plain_read(method: str) -> bool:
    """True when a method only reads, so that asking twice does no harm.

    Judged by the last part of the name; a method that merely might be a read is none.
    """
    name = method.lower()
    if name in _NOT_READS:
        return False
    return name in _READS_BY_NAME or name.rpartition(".")[2] in _READS


def sends_telemetry(method: str) -> bool:
    """False for the positional `task.*` methods: they read the query string by position and break.

    Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/data-encoding.html
    """
    return not method.startswith("task.")
