"""What a fake portal is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from b24oauth.testing.bindings import Bindings
from b24oauth.testing.bucket import LeakyBucket, OperatingBudget
from b24oauth.testing.data import make_tables
from b24oauth.testing.downloads import Downloads
from b24oauth.testing.files import FileStore
from b24oauth.testing.methods import Facts, standard_methods
from b24oauth.testing.oauth_server import Addresses, OAuthServer
from b24oauth.testing.offline import OfflineQueue
from b24oauth.testing.rest import RestServer
from b24oauth.testing.tokens import TokenBook
from b24oauth.testing.web_pages import users_of

if TYPE_CHECKING:
    from b24oauth.testing.portal import FakePortal

__all__ = ["Parts"]


class Parts:
    """The parts of a portal, which know each other only through their arguments.

    Args:
        portal: Whose attributes describe them.
        origin: Where the portal is reached.
        oauth_origin: Where the OAuth server is reached.
    """

    def __init__(self, portal: FakePortal, origin: str, oauth_origin: str) -> None:
        now = portal.clock.now
        self.addresses = Addresses(portal=origin.rstrip("/"), oauth=oauth_origin.rstrip("/"))
        self.tokens = TokenBook(
            now=now,
            lifetime=portal.token_lifetime,
            single_use=portal.single_use,
            realm=portal.realm,
            earlier=portal.earlier_pairs,
        )
        self.tables = make_tables(portal.sizes)
        self.files = FileStore(now=now, origin=lambda: self.addresses.portal)
        self.offline = OfflineQueue(now, is_admin=portal.is_administrator, features=portal.features)
        self.bindings = Bindings(self.offline, is_admin=portal.is_administrator, payment=portal.payment)
        facts = Facts(
            now=now,
            is_admin=portal.is_administrator,
            payment=portal.payment,
            scope=portal.scope,
            page_caps=portal.page_caps,
            files=self.files,
            file_fields=portal.file_fields,
            offline=self.offline,
            bindings=self.bindings,
        )
        bucket = LeakyBucket(burst=portal.burst, drain=portal.drain, now=now)
        self.downloads = Downloads(
            files=self.files,
            tokens=self.tokens,
            bucket=bucket,
            ranges=portal.download_ranges,
            one_use=portal.one_use_downloads,
            storage_origin=portal.storage_origin,
        )
        self.rest = RestServer(
            now=now,
            tokens=self.tokens,
            payment=portal.payment,
            bucket=bucket,
            operating=OperatingBudget(costs=portal.operating, limit=portal.operating_limit, now=now),
            methods=standard_methods(self.tables, facts),
            tables=self.tables,
            latency=portal.latency,
            command_latency=portal.command_latency,
            count_latency=portal.count_latency,
            dumps=portal.dumps,
        )
        self.oauth = OAuthServer(
            tokens=self.tokens,
            secret=portal.secret,
            payment=portal.payment,
            is_installed=lambda: self.bindings.is_finished,
            addresses=self.addresses,
            member_id=portal.member_id,
            scope=portal.scope,
            redirect_uri=portal.redirect_uri,
            users=users_of(self.tables["user"]) if portal.asks_for_login else [],
        )
