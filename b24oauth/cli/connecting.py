"""How a command gets its client: credentials from the environment, the keyring or a prompt, and a stored portal.

A command asks for its `Access` before the event loop runs, because prompts wait for the terminal:

    access = Access.from_environment(portal)
    asyncio.run(work(access))

    async def work(access: Access) -> None:
        async with access.client() as b24:
            ...
"""

from __future__ import annotations

import getpass
import importlib
import os
import sys
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Self, TypeAlias
from urllib.parse import urlsplit

import attrs
from cyclopts import Parameter

from b24oauth.cli.problems import UsageError
from b24oauth.cli.stores import location, opened_by_command
from b24oauth.client import B24OAuth
from b24oauth.hook import B24Hook
from b24oauth.models import B24OAuthParams, B24OAuthSecret
from b24oauth.observing import Observer
from b24oauth.protocol.endpoints import DEFAULT_OAUTH_HOSTS
from b24oauth.storing import TokenKey
from b24oauth.validating import hidden

if TYPE_CHECKING:
    from b24oauth.stores import EncryptedStore
    from b24oauth.stores.records import RecordStore

__all__ = [
    "CLIENT_ID",
    "CLIENT_SECRET",
    "KEYRING",
    "TRUSTED_HOSTS",
    "WEBHOOK",
    "Access",
    "PortalName",
    "StoredPortal",
    "chosen",
    "client_id",
    "client_secret",
    "keyring",
    "opened_existing",
    "stored_portals",
    "trusted_hosts",
]

CLIENT_ID: Final = "B24OAUTH_CLIENT_ID"
CLIENT_SECRET: Final = "B24OAUTH_CLIENT_SECRET"  # noqa: S105 - the name of a variable
WEBHOOK: Final = "B24OAUTH_WEBHOOK"
TRUSTED_HOSTS: Final = "B24OAUTH_TRUSTED_HOSTS"
# The service in the system's keyring. The user names in it are client IDs, and one that stands for the usual client ID.
KEYRING: Final = "b24oauth"

PortalName: TypeAlias = Annotated[
    str, Parameter(help="member_id or domain of a stored portal; not needed if one is stored.")
]
"""The option `--portal` of a command."""


@attrs.frozen
class StoredPortal:
    """A token pair of the store.

    Attributes:
        key: Where it is stored.
        params: The pair.
    """

    key: TokenKey
    params: B24OAuthParams

    @property
    def domain(self) -> str:
        """Host of the portal, with its port if it names one."""
        return urlsplit(self.params.client_endpoint).netloc.lower()


@attrs.frozen(kw_only=True)
class Access:
    """What a command needs to reach a portal.

    Attributes:
        portal: What the user chose among the stored portals; empty if nothing.
        webhook: URL of a webhook; empty to use a stored portal.
        secret: The application; None with a webhook.
        trusted_hosts: Further hosts that may see secrets.
    """

    portal: str
    webhook: str = attrs.field(repr=hidden)
    secret: B24OAuthSecret | None
    trusted_hosts: frozenset[str]

    @classmethod
    def from_environment(cls, portal: str = "") -> Self:
        """Reads the environment and asks for what is missing. A webhook is used unless a stored portal is chosen.

        Args:
            portal: The option `--portal`.

        Raises:
            UsageError: Credentials are missing, and there is no terminal to ask for them.
        """
        webhook = "" if portal else os.environ.get(WEBHOOK, "").strip()
        secret = None
        if not webhook:
            secret = B24OAuthSecret(client_id=(application := client_id()), client_secret=client_secret(application))
        return cls(portal=portal, webhook=webhook, secret=secret, trusted_hosts=trusted_hosts())

    @asynccontextmanager
    async def client(self, *, observers: Iterable[Observer] = ()) -> AsyncGenerator[B24OAuth | B24Hook]:
        """The client of the chosen portal, closed at the end; renewed token pairs are stored.

        Args:
            observers: Functions that are called with each event.

        Raises:
            UsageError: No portal is stored, or several are and none is chosen.
            SdkError: The store cannot be read, or an address is not trusted.
        """
        if self.secret is None:
            async with B24Hook(self.webhook, trusted_hosts=self.trusted_hosts, observers=observers) as hook:
                yield hook
            return
        async with opened_existing() as store:
            found = await chosen(store, self.secret.client_id, self.portal)
            b24 = await B24OAuth.from_store(
                store,
                self.secret,
                member_id=found.key.member_id,
                user_id=found.key.user_id,
                trusted_oauth_hosts=DEFAULT_OAUTH_HOSTS | self.trusted_hosts,
                observers=observers,
            )
            async with b24:
                yield b24


def opened_existing() -> RecordStore | EncryptedStore:
    """The command's store, if there is one.

    Raises:
        UsageError: Nothing has been stored yet.
        ConfigurationError: A key is not a Fernet key.
    """
    place = location()
    if "://" not in place and not Path(place).exists():
        raise UsageError(f"No portal is stored: there is no {place}. Run `b24oauth login DOMAIN`, or set {WEBHOOK}")
    return opened_by_command(creates=False)


async def stored_portals(store: RecordStore | EncryptedStore, application: str) -> list[StoredPortal]:
    """All token pairs of an application.

    Args:
        store: The store.
        application: Its client ID.

    Raises:
        StoreError: The store cannot be read, or a record of it.
    """
    found: list[StoredPortal] = []
    async for key in store.keys(application):
        stored = await store.load(key)
        if stored is not None:  # another process may have removed it
            found.append(StoredPortal(key, stored.params))
    return sorted(found, key=lambda portal: (portal.domain, portal.key.user_id or 0))


async def chosen(store: RecordStore | EncryptedStore, application: str, portal: str) -> StoredPortal:
    """The stored portal that the user means.

    Args:
        store: The store.
        application: Its client ID.
        portal: `member_id` or domain; empty if only one is stored.

    Raises:
        UsageError: No portal is stored, or several are; the message lists them.
        StoreError: The store cannot be read.
    """
    if portal:
        stored = await store.load(key := TokenKey(application, portal))
        if stored is not None:
            return StoredPortal(key, stored.params)
    portals = [found for found in await stored_portals(store, application) if found.key.user_id is None]
    if not portals:
        raise UsageError(f"No portal of application {application} is stored: run `b24oauth login DOMAIN`")
    wanted = portal.strip().lower()
    matching = [found for found in portals if not wanted or wanted == found.domain]
    if len(matching) == 1:
        return matching[0]
    names = "\n".join(f"  {found.domain} ({found.key.member_id})" for found in portals)
    problem = f"{portal} is not among the stored portals" if portal and not matching else "Several portals are stored"
    raise UsageError(f"{problem}; choose one of them with --portal:\n{names}")


def client_id() -> str:
    """The application: of the environment, of the keyring, or asked for.

    Raises:
        UsageError: It is missing, and there is no terminal.
    """
    return os.environ.get(CLIENT_ID, "").strip() or _in_keyring(CLIENT_ID) or _asked("Client ID", CLIENT_ID, hide=False)


def client_secret(application: str) -> str:
    """The client secret of an application: of the environment, of the keyring, or asked for without an echo.

    Args:
        application: Its client ID.

    Raises:
        UsageError: It is missing, and there is no terminal.
    """
    named = os.environ.get(CLIENT_SECRET, "").strip()
    return named or _in_keyring(application) or _asked(f"Client secret of {application}", CLIENT_SECRET, hide=True)


def trusted_hosts() -> frozenset[str]:
    """Hosts that the environment trusts beside those of Bitrix24, each "host" or "host:port"."""
    return frozenset(filter(None, map(str.strip, os.environ.get(TRUSTED_HOSTS, "").split(","))))


def keyring() -> Any:
    """The module `keyring`; None where it is not installed."""
    try:
        return importlib.import_module("keyring")
    except ModuleNotFoundError:
        return None


def _in_keyring(name: str) -> str:
    module = keyring()
    if module is None:
        return ""
    try:
        return module.get_password(KEYRING, name) or ""
    except module.errors.KeyringError:
        # Many servers have the module but no keyring. `b24oauth doctor` says so; here the next source is tried.
        return ""


def _asked(what: str, variable: str, *, hide: bool) -> str:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{variable} is not set, and there is no terminal to ask for it")
    prompt = f"{what} ({variable}): "
    if hide:
        try:
            answer = getpass.getpass(prompt, sys.stderr)
        except EOFError:  # Ctrl-D
            answer = ""
    else:
        print(prompt, end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
    if not answer.strip():
        raise UsageError(f"{what} is empty: set {variable}")
    return answer.strip()
