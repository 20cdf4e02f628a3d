"""The lines of a restore's journal, and what they add up to for each secret.

The first line is the header: what was restored where; each later one is a JSON array that begins with its kind. There
are paths, version numbers and keys' metadata, and never a value or anything made from one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from ....formats.secret import Metadata  # noqa: TC001 - msgspec looks it up

if TYPE_CHECKING:
    from ..sink import Change

#: Version of this format.
FORMAT = 1


class JournalHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: the archive, when its restore began (RFC 3339, UTC), the process, and the vault it goes to.

    ``roots`` are triples of prefix, mount and path. ``cluster`` is the vault's id and ``boot`` the machine's
    boot id, each empty if it is not known.
    """

    journal: int = FORMAT
    archive: str
    started: str
    process: str
    address: str
    namespace: str
    roots: tuple[tuple[str, str, str], ...]
    cluster: str = ""
    boot: str = ""


class Plan(msgspec.Struct, frozen=True, array_like=True, tag="plan"):
    """A secret that is not there is going to be written; ``at`` as in ``Write``, which follows when it is sent."""

    mount: str
    path: str
    at: float


class Write(msgspec.Struct, frozen=True, array_like=True, tag="write"):
    """A write that is about to be sent. ``at`` is when, in seconds since 1970 by this machine's clock.

    One that was ``planned`` may be missing after the machine went down, for only the plan was on the disk then. One
    that makes a further version of the same secret comes ``again``.
    """

    mount: str
    path: str
    kv_version: int
    before: int
    existed: bool
    at: float
    planned: bool = False
    again: bool = False


class Wrote(msgspec.Struct, frozen=True, array_like=True, tag="wrote"):
    """The vault confirmed the write, as version ``after`` (0 in KV version 1)."""

    mount: str
    path: str
    after: int


class WriteRefused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """The vault refused the write that would have followed version ``before``."""

    mount: str
    path: str
    before: int


class Settings(msgspec.Struct, frozen=True, array_like=True, tag="metadata"):
    """The metadata of a key is about to be changed; ``before`` is null where there was no such key.

    ``alone``: maybe no value of it is written.
    """

    mount: str
    path: str
    before: Metadata | None
    after: Metadata
    alone: bool


class Back(msgspec.Struct, frozen=True, array_like=True, tag="back"):
    """The secret is as it was before the restore."""

    mount: str
    path: str


class Left(msgspec.Struct, frozen=True, array_like=True, tag="left"):
    """The secret could not be put back, and why."""

    mount: str
    path: str
    why: str


class Commit(msgspec.Struct, frozen=True, array_like=True, tag="commit"):
    """COMMIT of this transaction is about to be sent: from here on only PostgreSQL knows how the restore ended.

    ``database`` says where, for people.
    """

    transaction: str
    database: str


Record: TypeAlias = Plan | Write | Wrote | WriteRefused | Settings | Back | Left | Commit


def record_of(change: Change, at: float) -> Record:
    """The line for a change."""
    if change.refused:
        return WriteRefused(change.mount, change.path, change.before)
    if change.ahead:
        return Plan(change.mount, change.path, at)
    if change.after is None:
        return Write(
            change.mount,
            change.path,
            change.kv_version,
            change.before,
            change.existed,
            at,
            change.planned,
            change.again,
        )
    return Wrote(change.mount, change.path, change.after)


@dataclass(slots=True)
class Attempt:
    """A write of the restore. ``existed``: whether the secret had a value before it; ``at``: when it was sent."""

    existed: bool
    at: float
    state: Literal["sent", "written", "refused"] = "sent"


@dataclass(slots=True)
class Entry:
    """One secret of a journal: ``attempts`` by the version that each makes (1 in KV version 1), and its metadata."""

    mount: str
    path: str
    kv_version: int = 2
    attempts: dict[int, Attempt] = field(default_factory=dict)
    settings: Settings | None = None
    settled: bool = False

    @property
    def first(self) -> int:
        """The lowest version that the restore would have made."""
        return min(self.attempts)

    @property
    def written(self) -> bool:
        """Whether the vault confirmed any of them."""
        return any(attempt.state == "written" for attempt in self.attempts.values())

    @property
    def confirmed(self) -> int:
        """The newest version that the vault confirmed; 0 when it confirmed none."""
        return max((version for version, attempt in self.attempts.items() if attempt.state == "written"), default=0)

    @property
    def refused(self) -> bool:
        """Whether the vault refused all of them."""
        return all(attempt.state == "refused" for attempt in self.attempts.values())

    def origin(self, version: int) -> tuple[int, bool]:
        """The version before our consecutive writes that end with ``version``, and whether it had a value."""
        while (below := self.attempts.get(version - 1)) and below.state == "written":
            version -= 1
        return version - 1, self.attempts[version].existed


def fold(entries: dict[tuple[str, str], Entry], record: Record) -> None:
    """Add a line to what is known of its secret. The last record of each write counts."""
    if isinstance(record, Commit):
        return
    key = (record.mount, record.path)
    entry = entries.get(key)
    if entry is None:
        entry = entries[key] = Entry(*key)
    match record:
        case Plan():  # only where the write may have been sent without a trace
            entry.attempts.setdefault(1, Attempt(existed=False, at=record.at))
        case Write():
            entry.kv_version = record.kv_version
            if record.planned:  # the first of its secret; this is when it was sent
                entry.attempts.pop(record.before + 1, None)
            entry.attempts.setdefault(record.before + 1, Attempt(record.existed, record.at))
        case Wrote():
            if attempt := entry.attempts.get(record.after or 1):
                attempt.state = "written"
        case WriteRefused():
            attempt = entry.attempts.get(record.before + 1)
            if attempt and attempt.state == "sent":  # otherwise another one succeeded
                attempt.state = "refused"
        case Settings():
            entry.settings = entry.settings or record  # the first of its secret knows what was there
        case Back():
            entry.settled = True
