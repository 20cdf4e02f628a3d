"""What a job says while it runs and when it ended. Plain frozen data, ready for JSON."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from ...stages.load.figures import NO_LOAD, Load

if TYPE_CHECKING:
    from ...formats.facts import BackupType, Facts
    from ...stages.vault.incremental.outcome import Incremental
    from ..engine import StageSnapshot
    from ..parts.names import PartName

Phase: TypeAlias = Literal[
    "prepare", "backup", "verify", "restore", "commit", "prune", "undo", "plan", "download", "convert", "copy"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How far a job is: bytes of SQL, secrets, bytes of the archive, each with its total where it is known.

    ``sql_total`` of a backup is the database's size on disk, an upper estimate, until pg_dump ended; then it is exact,
    as that of a restore is. ``vault_lets_pass`` is the requests a second that the vault lets pass, while it refuses
    more by a rate limit (429).
    """

    seconds: float = 0
    sql_bytes: int = 0
    sql_total: int | None = None
    secrets: int = 0
    secrets_total: int | None = None
    archive_bytes: int = 0
    archive_total: int | None = None
    vault_lets_pass: float | None = None

    @classmethod
    def of(cls, report: BackupReport | RestoreReport | VerifyReport) -> Amounts:
        """What was done, once it is."""
        return Amounts(
            seconds=report.seconds["total"],
            sql_bytes=report.sql_bytes,
            sql_total=report.sql_bytes,
            secrets=report.secrets,
            secrets_total=report.secrets,
            archive_bytes=report.size,
            archive_total=report.size,
        )

    def without(self, parts: Collection[str]) -> Self:
        """The same without what is counted of these parts, which the job leaves alone."""
        hidden = {name: value for part in parts for name, value in _NOTHING_OF[part].items()}
        return replace(self, **hidden)

    def row(self) -> dict[str, float | None]:
        """The amounts alone, for JSON."""
        return {each.name: getattr(self, each.name) for each in fields(Amounts)}


_NOTHING_OF: dict[str, dict[str, Any]] = {
    "database": {"sql_bytes": 0, "sql_total": None},
    "vault": {"secrets": 0, "secrets_total": None},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Amounts):
    """A job at one moment."""

    phase: Phase
    stages: tuple[StageSnapshot, ...] = ()


OnProgress: TypeAlias = "Callable[[Progress], None] | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupReport:
    """A finished backup. Sizes are bytes; ``seconds`` per phase; ``stages`` says where the time went.

    ``checksum`` is SHA-256 of the ciphertext, in format V2 of the whole file.

    ``unreadable`` names secrets that could not be read (only when that was allowed; at most 1000 of
    ``unreadable_count``); ``deleted`` counts secrets whose latest version is deleted or destroyed, which is no fault
    (with metadata they are in an archive of format V2, and among its ``secrets``).
    ``own_secrets`` names what the product itself needs and no archive holds (a folder ends with a slash).
    ``incremental`` says what an incremental read of the vault took and read, and why; None where none was asked for.
    ``without_rows`` names the tables whose rows were left out: those that a restore preserves. ``left_out`` names what
    the database has and the archive lacks; a warning says of each why, and what to do. ``aborted_uploads`` names the
    archives whose uploads earlier runs had left unfinished, and which this one aborted.
    """

    name: str
    backup_type: BackupType
    created_at: datetime
    size: int
    checksum: str
    sql_bytes: int
    secrets: int
    format: str = "v1"
    deleted: int = 0
    unreadable_count: int = 0
    unreadable: tuple[str, ...] = ()
    own_secrets: tuple[str, ...] = ()
    incremental: Incremental | None = None
    without_rows: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    aborted_uploads: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    load: Load = NO_LOAD
    stages: tuple[StageSnapshot, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """A verified archive, right to its last byte.

    ``signer`` is the public key that signed it, as text (empty: nobody), ``trusted`` whether the job was told so.
    """

    name: str
    size: int
    header: Facts
    sql_bytes: int
    secrets: int
    tables: int
    rows: int
    signer: str = ""
    trusted: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    load: Load = NO_LOAD
    stages: tuple[StageSnapshot, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoReport:
    """What became of the secrets that an unfinished restore of ``archive`` had written (``started``: RFC 3339, UTC).

    ``put_back`` have the value again that they had, ``removed`` ones are gone again, ``unchanged`` ones were as before.
    ``left`` are pairs of mount/path and the reason why it could not be put back, at most 1000 of ``left_count``; the
    file ``journal`` has all. ``committed``: PostgreSQL says that the restore took place, so nothing was put back.
    """

    archive: str
    started: str
    committed: bool = False
    put_back: int = 0
    removed: int = 0
    unchanged: int = 0
    left_count: int = 0
    left: tuple[tuple[str, str], ...] = ()
    journal: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    load: Load = NO_LOAD


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """A finished restore. ``failed`` names secrets that could not be written (at most 1000 of ``failed_count``).

    ``pruned`` likewise names those that were removed, when that was asked for; ``unpruned_count`` are those which
    should have been and are still there. ``left_alone`` are the parts of the archive that had no target.

    ``backup`` is the archive that was made of what was there before, ``into`` where it was restored to, if that is not
    what is configured.

    ``preserved`` names the tables that kept their rows, ``own_secrets`` what the archive holds of the product's own
    secrets: those were left as they are, and are not counted.
    """

    name: str
    header: Facts
    size: int
    sql_bytes: int = 0
    secrets: int = 0
    tables: int = 0
    rows: int = 0
    written: int = 0
    unchanged: int = 0
    failed_count: int = 0
    failed: tuple[str, ...] = ()
    pruned_count: int = 0
    pruned: tuple[str, ...] = ()
    unpruned_count: int = 0
    left_alone: tuple[PartName, ...] = ()
    preserved: tuple[str, ...] = ()
    own_secrets: tuple[str, ...] = ()
    backup: str | None = None
    into: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    load: Load = NO_LOAD
    stages: tuple[StageSnapshot, ...] = ()
