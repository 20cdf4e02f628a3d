"""What a drill says when it ended. Plain frozen data, ready for JSON; no value of a row or a secret is in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from ...stages.load.figures import NO_LOAD, Load

if TYPE_CHECKING:
    from ...stages.pg.proof.restored import Objects

REPORT_VERSION = 1

Verdict: TypeAlias = Literal["proven", "failed", "inconclusive"]
#: What the verdict is due to; empty for ``proven``.
Cause: TypeAlias = Literal["", "archive", "password", "environment", "check", "time limit", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrilledArchive:
    """The archive. ``newest`` says whether the store had no newer one; ages are seconds at the drill's beginning.

    ``sha256`` is that of the whole object as it was read, ``store`` where it lies, ``copy`` which of the stores that
    hold it. ``lock`` says until when the store forbids to delete it, ``unknown`` where nobody asked. ``overdue``: it
    was older than the configuration allows, so that backups may have stopped. None where no limit is set.
    """

    key: str
    size: int = 0
    sha256: str = ""
    store: str = ""
    copy: int = 1
    lock: str = "unknown"
    created_at: datetime | None = None
    age_at_drill: float | None = None
    newest: bool = False
    overdue: bool | None = None
    format_version: int = 0
    backup_type: str = ""
    id: str = ""
    checksum: str = ""
    signer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step, when it began and how long it took (seconds)."""

    name: str
    started: datetime
    seconds: float
    result: Literal["ok", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where it was restored to. ``isolated``: on servers that were started for the drill and ended with it.

    ``vault`` is its address; ``postgresql`` and ``vault_version`` are the versions of the servers' programs.
    """

    where: str
    isolated: bool
    host: str
    postgresql: str = ""
    vault: str = ""
    vault_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableProof:
    """Rows of one table: in the archive, and restored (None: no such table). ``equal``: their values are the same."""

    name: str
    rows_in_archive: int
    rows_restored: int | None
    equal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseProof:
    """The database: its tables with rows, and the other objects."""

    tables: tuple[TableProof, ...]
    objects: Objects


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultProof:
    """The secrets, compared value by value. Paths are named only when asked for.

    ``equal`` are as the archive has them, ``extra`` ones it does not have (None: that cannot be known). ``metadata`` is
    custom metadata and settings of keys, ``versions`` are numbers and older values, where the archive has them.
    """

    secrets_in_archive: int
    equal: int
    missing: int
    changed: int
    unreadable: int
    extra: int | None
    metadata_compared: int = 0
    metadata_other: int = 0
    metadata_unreadable: int = 0
    versions_compared: int = 0
    versions_other: int = 0
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """A check of the operator's own."""

    name: str
    expected: str
    found: str
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A time (seconds) held against what is wanted, if anything is: ``met`` is None where nothing is."""

    seconds: float | None
    target: float | None
    met: bool | None

    @classmethod
    def of(cls, seconds: float | None, target: float | None) -> Target:
        """Compare."""
        return cls(seconds=seconds, target=target, met=None if seconds is None or target is None else seconds <= target)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Something that is not as the archive says: which comparison, and what."""

    check: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """The report before: its SHA-256 (over its canonical JSON) chains the two."""

    id: str
    verdict: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillReport:
    """A drill: what was restored and compared, and the verdict with its cause and the next step.

    ``rto`` is the time of opening and restoring, ``rpo`` the archive's age, ``load`` that of the scratch servers.
    ``left_behind`` says what could not be cleaned up. ``file`` is where the report lies, beside it a page to print;
    empty when it was not kept.
    """

    report_version: int = REPORT_VERSION
    id: str
    kind: Literal["drill"] = "drill"
    trigger: str
    requested_by: str
    tool: str
    started: datetime
    ended: datetime
    archive: DrilledArchive
    environment: Environment | None = None
    steps: tuple[Step, ...] = ()
    database: DatabaseProof | None = None
    vault: VaultProof | None = None
    checks: tuple[CheckResult, ...] = ()
    rto: Target
    rpo: Target
    verdict: Verdict
    cause: Cause = ""
    failures: tuple[Failure, ...] = ()
    reason: str = ""
    next_step: str = ""
    warnings: tuple[str, ...] = ()
    load: Load = NO_LOAD
    cleaned_up: bool = True
    left_behind: str = ""
    previous: Previous | None = None
    file: str = ""
