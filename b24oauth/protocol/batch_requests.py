"""Encodes batch commands into requests of up to 50 and validates their references.

A portal evaluates any text that looks like a reference, even text from a user. A command with such text is sent as a
single call, where references are not evaluated, or it is rejected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

import attrs

from b24oauth.errors import InvalidCallParamsError, InvalidParamsError
from b24oauth.models import ApiVersion
from b24oauth.protocol.batch import MAX_COMMANDS, Command, refused
from b24oauth.protocol.batch_ref_v2 import BatchRefV2, looks_like_reference
from b24oauth.protocol.batch_ref_v3 import BatchRefV3, is_marker
from b24oauth.protocol.dialects import DIALECTS
from b24oauth.protocol.encoding import References, places_in, to_json, write_query

__all__ = ["Requests", "has_text_reference", "make_requests"]

_REFERENCE: Final = "B24OAUTH_BATCH_REFERENCE"
_DOLLAR: Final = "%24"


@attrs.frozen(kw_only=True)
class Requests:
    """What is sent for the commands of a batch.

    Attributes:
        commands: All commands in the caller's order; those of `batched` are encoded.
        batched: Positions of the commands in each request.
        apart: Positions of the commands that are sent as calls of their own.
    """

    commands: tuple[Command, ...]
    batched: tuple[tuple[int, ...], ...]
    apart: tuple[int, ...] = ()


@attrs.frozen(kw_only=True)
class _Draft:
    """A command whose references are not resolved to final names yet.

    Attributes:
        command: The command, encoded unless it has references.
        plain: Its parameters as plain values; None when it is encoded.
        references: The references in them, each with its place.
        text_at: Place of the first text that looks like a reference; None without one.
        problem: Why it cannot be sent in a batch; None when it can.
    """

    command: Command
    plain: object
    references: References
    text_at: str | None
    problem: InvalidParamsError | None


def make_requests(
    commands: Sequence[Command], version: ApiVersion, *, allow_text_references: bool, may_leave: bool
) -> Requests:
    """Encodes commands and spreads them over requests.

    Args:
        commands: The commands.
        version: The API version to speak.
        allow_text_references: Whether text that looks like a reference is one.
        may_leave: Whether a command with such text may be sent as a call of its own; v2 only.

    Raises:
        InvalidCallParamsError: A value cannot be sent, a reference leads nowhere, or text looks like a reference; names
            the command, its method and the place of the value.
    """
    drafts = [_draft(command, version) for command in commands]
    apart: list[int] = []
    for position, draft in enumerate(drafts):
        if draft.text_at is not None and not allow_text_references:
            if not may_leave or draft.references:
                raise _text_refused(draft, version)
            apart.append(position)
        elif draft.problem is not None:
            raise _refused(draft.command, draft.problem.message, draft.problem.code)
    left = frozenset(apart)
    inside = [position for position in range(len(drafts)) if position not in left]
    batched = [tuple(inside[begin : begin + MAX_COMMANDS]) for begin in range(0, len(inside), MAX_COMMANDS)]
    final = [draft.command for draft in drafts]
    if any(draft.references for draft in drafts):
        known = _known_names(commands)
        for positions in batched:
            _link(drafts, positions, known, left, final)
    if DIALECTS[version].batch_as_list:
        for positions in batched:
            _check_numbers([commands[position] for position in positions])
    return Requests(commands=tuple(final), batched=tuple(batched), apart=tuple(apart))


def has_text_reference(params: object) -> bool:
    """True when parameters hold text that a v2 portal would fill in inside a batch."""
    return any(places_in(to_json(params), looks_like_reference))


def _draft(command: Command, version: ApiVersion) -> _Draft:
    references: References = []
    encoded: object = None
    text_at: str | None = None
    problem: InvalidParamsError | None = None
    try:
        plain = to_json(command.params, command.method, references=references)
    except InvalidParamsError as error:
        plain, problem = None, error
    for place, reference in references:
        if not isinstance(reference, DIALECTS[version].reference):
            raise _refused(command, f"{place}: a {type(reference).__name__} does not work in a batch of {version}")
    if not DIALECTS[version].text_references:
        encoded, text_at = plain, next(places_in(plain, is_marker, keys_only=True), None)
    elif problem is None:
        try:
            encoded = None if references else write_query(plain)
        except InvalidParamsError as error:
            problem = error
        # Most commands have no dollar sign at all.
        if not isinstance(encoded, str) or _DOLLAR in encoded:
            text_at = next(places_in(plain, looks_like_reference), None)
    return _Draft(
        command=attrs.evolve(command, query=None if references else encoded, refers=bool(references or text_at)),
        plain=plain if references else None,
        references=references,
        text_at=text_at,
        problem=problem,
    )


def _known_names(commands: Sequence[Command]) -> dict[str, int]:
    """Maps every valid name of a command (its key, alias and index) to its index."""
    known = {str(command.key): position for position, command in enumerate(commands)}
    return known | {command.alias: position for position, command in enumerate(commands) if command.alias is not None}


def _link(
    drafts: Sequence[_Draft],
    positions: Sequence[int],
    known: Mapping[str, int],
    apart: frozenset[int],
    final: list[Command],
) -> None:
    """Encodes the commands of one request that refer to others."""
    # Maps a command's index in the caller's batch to its name in the request.
    wire = {position: drafts[position].command.alias or str(index) for index, position in enumerate(positions)}
    for position in positions:
        draft = drafts[position]
        if not draft.references:
            continue
        names: dict[str, str] = {}
        for place, reference in draft.references:
            for name in reference.commands if isinstance(reference, BatchRefV2) else (reference.command,):
                target = known.get(name)
                if target is None:
                    why = "which is not in the batch"
                elif target in apart:
                    why = "which is sent as a call of its own, because it has text that looks like a reference"
                elif target not in wire:
                    why = f"which is sent in another request: keep both within the same {MAX_COMMANDS} commands"
                elif target >= position:
                    why = "which must come before it"
                else:
                    names[name] = wire[target]
                    continue
                raise _refused(draft.command, f"{place} refers to command {name}, {why}")
        plain = _named(draft.plain, names)
        version_2 = isinstance(draft.references[0][1], BatchRefV2)
        final[position] = attrs.evolve(draft.command, query=write_query(plain) if version_2 else plain)


def _named(plain: object, names: dict[str, str]) -> object:
    """Replaces each reference in plain values by its encoded form."""
    if isinstance(plain, dict):
        return {name: _named(item, names) for name, item in cast("dict[str, object]", plain).items()}
    if isinstance(plain, list):
        return [_named(item, names) for item in cast("list[object]", plain)]
    return plain.renamed(names) if isinstance(plain, (BatchRefV2, BatchRefV3)) else plain


def _check_numbers(commands: Sequence[Command]) -> None:
    """Raises if the name of a v3 command equals the index of an unnamed command."""
    aliases = {command.alias for command in commands}
    for index, command in enumerate(commands):
        if command.alias is None and str(index) in aliases:
            raise _refused(command, f"it has no `as`, and another command is called {index}, which is its number")


def _text_refused(draft: _Draft, version: ApiVersion) -> InvalidCallParamsError:
    if not DIALECTS[version].text_references:
        return _refused(
            draft.command,
            f"{draft.text_at} looks like a reference, which the portal would replace by another command's response: "
            "make references with BatchRefV3, send data from users with call, or pass allow_text_references=True",
        )
    return _refused(
        draft.command,
        f"{draft.text_at} is text that the portal would read as a reference to another command's response: make "
        "references with BatchRefV2, send text from users with call or with batch_by_chunk(is_halt_on_error=False), or "
        "pass allow_text_references=True",
    )


def _refused(command: Command, problem: str, code: str = _REFERENCE) -> InvalidCallParamsError:
    return refused(f"Command {command.key} ({command.method}): {problem}", code)
