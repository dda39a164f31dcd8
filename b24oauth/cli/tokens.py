"""`b24oauth tokens`: the token pairs of the command's store."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, Final, cast

import attrs
import cyclopts

from b24oauth.cli.connecting import (
    Access,
    PortalName,
    StoredPortal,
    chosen,
    client_id,
    opened_existing,
    stored_portals,
)
from b24oauth.cli.output import AsJson, note, print_json, print_table
from b24oauth.cli.problems import UsageError
from b24oauth.cli.reencrypt import encrypted_records
from b24oauth.cli.stores import location
from b24oauth.client import B24OAuth
from b24oauth.installations import InstallationState
from b24oauth.installing import put_state

__all__ = ["tokens"]

_HIDDEN: Final = ("access_token", "refresh_token", "application_token")

tokens = cyclopts.App(
    name="tokens",
    help="Show, renew, remove and encrypt the stored token pairs. Tokens themselves are never shown.",
)


@tokens.command(name="list")
def list_(*, as_json: AsJson = False) -> None:
    """List the stored portals of the application.

    The application is the one of B24OAUTH_CLIENT_ID.
    """
    portals = asyncio.run(_stored(client_id()))
    if as_json:
        print_json([_shown(portal) for portal in portals], compact=True)
        return
    print_table(
        ("domain", "member_id", "user", "access token expires", "status", "scope"),
        (
            (
                portal.domain,
                portal.key.member_id,
                portal.key.user_id or "",
                _moment(portal.params.expires),
                portal.params.status.name.lower(),
                portal.params.scope,
            )
            for portal in portals
        ),
    )
    if not portals:
        note("No portal is stored: run `b24oauth login DOMAIN`")


@tokens.command
def show(*, portal: PortalName = "", as_json: AsJson = False) -> None:
    """Show the stored token pair of a portal, with the tokens masked."""
    shown = _shown(asyncio.run(_chosen(client_id(), portal)))
    if as_json:
        print_json(shown, compact=True)
    else:
        print_table(("field", "value"), shown.items())


@tokens.command
def refresh(*, portal: PortalName = "", as_json: AsJson = False) -> None:
    """Renew the token pair of a portal now, and store it.

    Calls renew it by themselves when it has expired. Renew it at least every 180 days.
    """
    access = Access.from_environment(portal)
    if access.secret is None:
        raise UsageError("A webhook has no token pair: unset B24OAUTH_WEBHOOK, or choose a stored portal with --portal")
    expires = asyncio.run(_refresh(access))
    if as_json:
        print_json({"expires": expires}, compact=True)
    else:
        print(f"The pair is renewed; its access token expires {_moment(expires)}")


@tokens.command
def remove(portal: str, /, *, as_json: AsJson = False) -> None:
    """Remove all token pairs of a portal from the store.

    The application stays installed on the portal.

    Args:
        portal: member_id or domain of the portal.
        as_json: Print JSON for programs.
    """
    member_id, number = asyncio.run(_remove(client_id(), portal))
    if as_json:
        print_json({"member_id": member_id, "removed": number}, compact=True)
    else:
        print(f"{number} token pair{'' if number == 1 else 's'} of portal {member_id} removed")


@tokens.command
def encrypt(store: str = "", /, *, as_json: AsJson = False) -> None:
    """Encrypt all records of the application with the first of the keys in B24OAUTH_KEYS.

    All keys decrypt. Records that are not encrypted yet are encrypted too.

    Args:
        store: Path or URL of another store than the command's own.
        as_json: Print JSON for programs.
    """
    number = asyncio.run(encrypted_records(store or location(), client_id()))
    if as_json:
        print_json({"encrypted": number}, compact=True)
    else:
        print(f"{number} records are encrypted with the first key")


async def _stored(application: str) -> list[StoredPortal]:
    async with opened_existing() as store:
        return await stored_portals(store, application)


async def _chosen(application: str, portal: str) -> StoredPortal:
    async with opened_existing() as store:
        return await chosen(store, application, portal)


async def _refresh(access: Access) -> int:
    async with access.client() as b24:
        return (await cast("B24OAuth", b24).auth.refresh_auth()).expires


async def _remove(application: str, portal: str) -> tuple[str, int]:
    async with opened_existing() as store:
        member_id = (await chosen(store, application, portal)).key.member_id
        keys = [key async for key in store.keys(application, member_id)]
        removed = [await store.delete(key) for key in keys]
        await put_state(store, application, member_id, InstallationState.UNINSTALLED, None)
        return member_id, sum(removed)


def _shown(portal: StoredPortal) -> dict[str, Any]:
    fields = attrs.asdict(portal.params)
    masked = {name: "***" if fields[name] else "" for name in _HIDDEN}
    of_user = {} if portal.key.user_id is None else {"pair_of_user": portal.key.user_id}
    return {**fields, **masked, "member_id": portal.key.member_id, "domain": portal.domain, **of_user}


def _moment(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
