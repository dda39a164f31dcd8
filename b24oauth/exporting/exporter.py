"""Exports a list to a file: reads it page by page, keeps the rows on the disk, and makes the final file of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import anyio
import attrs

from b24oauth.client import B24OAuth
from b24oauth.errors import ConfigurationError, SdkError
from b24oauth.exporting.columns import Column
from b24oauth.exporting.fields import declared_columns
from b24oauth.exporting.finishing import Finishing
from b24oauth.exporting.journal import Header, check_same
from b24oauth.exporting.request import ExportRequest
from b24oauth.exporting.since import Changes, State, read_state, state_path
from b24oauth.exporting.spool import Spool
from b24oauth.exporting.threads import in_thread
from b24oauth.hook import B24Hook
from b24oauth.lists.methods import list_method
from b24oauth.lists.pages import RowsReader
from b24oauth.models import ApiVersion

__all__ = ["Client", "ExportProgress", "ExportReport", "OnProgress", "export", "portal_of", "secrets_of"]

Client: TypeAlias = B24OAuth | B24Hook

# Rows that are written together, and seconds after which fewer are.
_BLOCK: Final = 1000
_SECONDS: Final = 1.0
# Shorter ones are part of other texts.
_LEAST_SECRET: Final = 8


@attrs.frozen(kw_only=True)
class ExportProgress:
    """How far an export is.

    Attributes:
        phase: "reading" rows from the portal, or "writing" the final file.
        rows: Rows read so far, those before a break included; in "writing", rows written.
        total: Rows in all; None: not known.
        resumed: Rows that were there before this run.
    """

    phase: Literal["reading", "writing"]
    rows: int
    total: int | None
    resumed: int


@attrs.frozen(kw_only=True)
class ExportReport:
    """What an export did.

    Attributes:
        path: The file.
        format: Its format.
        rows: Rows in it.
        resumed: How many of them were there before this run.
        text_columns: Parquet: columns that are text because a value does not fit their declared type.
        state: Where the state for the next run with `since` is; None: none is kept.
    """

    path: Path
    format: str
    rows: int
    resumed: int
    text_columns: tuple[str, ...]
    state: Path | None


OnProgress: TypeAlias = Callable[[ExportProgress], object]


async def export(client: Client, request: ExportRequest, *, on_progress: OnProgress | None = None) -> ExportReport:
    """Exports all rows of a list method to a file, which appears under its name when it is complete.

    Until then the rows are in ``<name>.part``. When the export breaks (an error, a cancellation, a killed process), the
    same call goes on after the last row that is on the disk, if the list is read by identifier; other lists are read
    again from the start. A list that is read by identifier has every row once.

    Args:
        client: The client of the portal.
        request: What is exported and where to.
        on_progress: A function that is called after each page and each step of the final file; it must not block.

    Returns:
        What was exported.

    Raises:
        ConfigurationError: The file exists; another process exports to it; an unfinished export to it is of something
            else; or the list cannot honour an option. Nothing was changed.
        ModuleNotFoundError: The format needs an extra.
        AjaxError: A request failed; rows that are on the disk stay for the next try.
        OSError: A file cannot be written.
    """
    run = _Run(client, request, on_progress or (lambda _: None))
    if request.kind == "parquet":
        import_module("b24oauth.exporting.parquet")  # what is missing is said before anything is read
    try:
        await run.prepare()
        await run.read()
        return await run.finish()
    finally:
        run.spool.close()


def portal_of(client: Client) -> str:
    """What tells one portal from another one: its member_id, or the host of a webhook."""
    if isinstance(client, B24OAuth):
        return client.auth.get_params().member_id or client.get_target_origin()
    return client.get_target_origin()


def secrets_of(client: Client) -> tuple[str, ...]:
    """The credentials of a client, which no file may hold: addresses of files in rows may contain them."""
    secrets = client.get_http_client(ApiVersion.V2).secrets()
    return tuple({secret for secret in secrets if len(secret) >= _LEAST_SECRET})


class _Run:
    """One call of `export`."""

    def __init__(self, client: Client, request: ExportRequest, on_progress: OnProgress) -> None:
        self.spool = Spool(request.to)
        self._client = client
        self._request = request
        self._show = on_progress
        self._portal = portal_of(client)
        self._identifier = identifier = request.identifier
        self._state_path = state_path(request.since, request.to)
        self._before: State | None = None
        self._changes: Changes | None = None
        if request.since is not None and identifier is not None:
            self._changes = Changes(request.modified, identifier.key)
        self._header = Header(
            method=request.method,
            portal=self._portal,
            format=request.kind,
            parameters=request.fingerprint(),
            resumable=identifier is not None,
            begun=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._resumed = 0
        self._read = 0

    async def prepare(self) -> None:
        """Takes the file, and finds out where to go on."""
        request, spool = self._request, self.spool
        if self._state_path is not None:
            self._before = await in_thread(self._read_state, self._state_path)
            self._header = attrs.evolve(self._header, state=self._before.digest())
        found = await in_thread(spool.open, request.restart)
        if found is not None and not found.is_empty:
            is_finished = found.checkpoint.finished
            self._check_same(found.header, is_finished=is_finished)
            if found.header.resumable or found.checkpoint.complete:
                self._check_final(is_written=is_finished and not self._unnamed.exists())
                identifier = self._identifier
                await in_thread(spool.resume, None if identifier is None else identifier.key)
                self._header = found.header
                self._resumed = spool.checkpoint.rows
                return
        self._check_final(is_written=False)
        if self._changes is not None and self._state_path is not None:
            self._header = attrs.evolve(self._header, until=await self._latest_change(self._changes))
        await in_thread(spool.begin, self._header)

    async def read(self) -> None:
        """Reads the rows that are missing."""
        request, spool = self._request, self.spool
        if spool.checkpoint.complete:
            return
        key = None if self._identifier is None else self._identifier.key
        spool.identify(key, descending=request.descending)
        self._read = spool.checkpoint.rows
        if request.limit is None or spool.checkpoint.rows < request.limit:
            await self._read_pages()
        await in_thread(spool.complete)

    async def finish(self) -> ExportReport:
        """Makes the final file."""
        request, spool = self._request, self.spool
        finishing = Finishing(
            request=request, spool=spool, changes=self._changes, before=self._before, until=self._header.until
        )
        rows = spool.checkpoint.rows
        if not spool.checkpoint.finished and not self._is_as_it_is:
            finishing.declared = await self._declared()
            with closing(finishing.steps()) as steps:
                while (count := await in_thread(next, steps, None)) is not None:
                    self._show(ExportProgress(phase="writing", rows=count, total=rows, resumed=self._resumed))
        await in_thread(self._name)
        return ExportReport(
            path=request.to,
            format=request.kind,
            rows=rows,
            resumed=self._resumed,
            text_columns=tuple(finishing.unfit),
            state=self._state_path,
        )

    @property
    def _is_as_it_is(self) -> bool:
        """True when the unfinished file already is what the final file shall be."""
        return self._changes is None and self._request.kind == "jsonl"

    @property
    def _unnamed(self) -> Path:
        """The final file until it gets its name."""
        return self.spool.part if self._is_as_it_is else self.spool.output

    def _name(self) -> None:
        self.spool.finish(self._state_path, as_it_is=self._is_as_it_is)

    async def _read_pages(self) -> None:
        request, spool, checkpoint = self._request, self.spool, self.spool.checkpoint
        options = request.walk_options(checkpoint.last if self._identifier is not None else None, checkpoint.rows)
        params = request.params if self._changes is None else request.params_since(self._since)
        begun_with, total = checkpoint.rows, None

        def note(_: int, of: int | None) -> None:
            nonlocal total
            total = None if of is None else begun_with + of
            if request.limit is not None:
                total = request.limit if total is None else min(total, request.limit)

        clock = asyncio.get_running_loop().time
        held, written_at = list[Any](), clock()
        secrets = dict.fromkeys(secrets_of(self._client))
        try:
            async with self._client.pages(request.method, params, on_progress=note, **options) as pages:
                async for page in pages:
                    # A token may have been renewed since the rows were requested.
                    secrets |= dict.fromkeys(secrets_of(self._client))
                    held += self._new(page, tuple(secrets))
                    self._read += len(page)
                    self._show(ExportProgress(phase="reading", rows=self._read, total=total, resumed=self._resumed))
                    if len(held) >= _BLOCK or clock() - written_at >= _SECONDS:
                        block, held = held, []
                        await in_thread(spool.append, block, tuple(secrets))
                        written_at = clock()
        except BaseException as error:
            # The rows that were read are kept, also when the walk has failed or is cancelled.
            if held:
                with anyio.CancelScope(shield=True):
                    try:
                        await in_thread(spool.append, held, tuple(secrets))
                    except (OSError, SdkError) as other:
                        # It must not take the place of the first error, least of all of a cancellation.
                        error.add_note(f"The last {len(held)} rows that were read could not be written: {other}")
            raise
        if held:
            await in_thread(spool.append, held, tuple(secrets))

    def _new(self, page: list[Any], secrets: tuple[str, ...]) -> list[Any]:
        if self._changes is None:
            return page
        seen: Mapping[str, tuple[str, str]] = {} if self._before is None else self._before.seen
        return self._changes.new(page, self._since, seen, secrets)

    @property
    def _since(self) -> str | None:
        return self._request.since if self._state_path is None or self._before is None else self._before.since

    async def _latest_change(self, changes: Changes) -> str | None:
        """The latest change that the list has now, before any row is read."""
        request, facts = self._request, list_method(self._request.method)
        result = await self._client.call(request.method, request.params_by_change())
        return changes.latest(RowsReader(request.method, facts.rows_key).read({"result": result}))

    async def _declared(self) -> Mapping[str, Column]:
        if self._request.kind != "parquet":
            return {}
        return await declared_columns(self._client, self._request.method, self._request.params)

    def _read_state(self, path: Path) -> State:
        request = self._request
        facts = {
            "method": request.method,
            "portal": self._portal,
            "parameters": request.filter_fingerprint(),
        }
        if not path.exists():
            return State(**facts, until=None, seen={})
        return read_state(path.read_bytes(), **facts, name=path.name)

    def _check_same(self, found: Header, *, is_finished: bool) -> None:
        # The state may have been replaced already by the run that was broken off at its very end.
        wanted = attrs.evolve(self._header, state=found.state) if is_finished else self._header
        check_same(found, wanted, self._request.to.name)

    def _check_final(self, *, is_written: bool) -> None:
        path = self._request.to
        if not self._request.overwrite and not is_written and path.exists():
            raise ConfigurationError(
                f"{path} exists: name another file, or replace it with overwrite", code="B24OAUTH_EXPORT_EXISTS"
            )
