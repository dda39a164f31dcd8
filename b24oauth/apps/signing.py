"""Signed texts that travel through a browser: states of authorizations, and sessions of pages."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

from b24oauth.apps.verifying import NotGenuineError

__all__ = ["Signer"]


class Signer:
    """Signs values and reads them again; they can be read by anybody, but not made.

    Args:
        key: A long random text; all processes must have the same.
        purpose: What is signed: a text for one purpose is worth nothing for another.
        clock: Unix timestamp, seconds.
    """

    def __init__(self, key: str, purpose: str, clock: Callable[[], float]) -> None:
        self._key = hashlib.sha256(f"b24oauth {purpose} {key}".encode()).digest()
        self._purpose = purpose
        self._clock = clock

    def sign(self, values: Mapping[str, Any], *, lifetime: float, bound_to: str = "") -> str:
        """A signed text.

        Args:
            values: Plain values.
            lifetime: How long it is good, seconds.
            bound_to: What must be given again to read it.
        """
        body = _encoded(json.dumps({**values, "exp": int(self._clock() + lifetime)}).encode())
        return f"{body}.{self._signature(body, bound_to)}"

    def read(self, text: str, *, bound_to: str = "") -> dict[str, Any]:
        """The values of a signed text.

        Args:
            text: The text.
            bound_to: As for `sign`.

        Raises:
            NotGenuineError: It is forged, too old, or bound to something else.
        """
        body, _, signature = text.partition(".")
        given = signature.encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(given, self._signature(body, bound_to).encode()):
            raise NotGenuineError(f"The {self._purpose} is forged, or of another session")
        values: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        if self._clock() >= values["exp"]:
            raise NotGenuineError(f"The {self._purpose} is too old: begin again")
        return values

    def _signature(self, body: str, bound_to: str) -> str:
        signed = f"{body} {bound_to}".encode("utf-8", "surrogatepass")
        return _encoded(hmac.new(self._key, signed, hashlib.sha256).digest())


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
