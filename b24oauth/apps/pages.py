"""A page that a verified user has opened, and the session of its front end."""

from __future__ import annotations

import attrs

from b24oauth.apps.requests import PageOpened
from b24oauth.client import B24OAuth
from b24oauth.validating import hidden

__all__ = ["Page", "Session"]


@attrs.frozen(kw_only=True)
class Page:
    """A page of the application that a verified user has opened.

    Attributes:
        opened: The request.
        b24: The client of the application's default pair.
        user: A client with the rights of the user who looks at the page; it is not stored.
        user_id: This user.
        session: A signed text for requests of the page's own front end, good for a day; empty without a `session_key`.
    """

    opened: PageOpened
    b24: B24OAuth
    user: B24OAuth
    user_id: int
    session: str = attrs.field(default="", repr=hidden)


@attrs.frozen(kw_only=True)
class Session:
    """Who speaks in a request of the application's own front end.

    Attributes:
        member_id: The portal.
        user_id: The user.
    """

    member_id: str
    user_id: int
