"""What a job says while it runs and when it ended. Plain frozen data, ready for JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ..formats.v1 import BackupType, Header
    from .engine import StageSnapshot
    from .parts import Part

Phase: TypeAlias = Literal["prepare", "backup", "verify", "restore", "commit", "prune", "undo", "plan", "download"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A job at one moment: bytes of SQL, secrets, bytes of the archive, each with its total where it is known.

    ``sql_total`` of a backup is the database's size on disk, an upper estimate; of a restore it is exact.
    """

    phase: Phase
    seconds: float
    sql_bytes: int = 0
    sql_total: int | None = None
    secrets: int = 0
    secrets_total: int | None = None
    archive_bytes: int = 0
    archive_total: int | None = None
    stages: tuple[StageSnapshot, ...] = ()


OnProgress: TypeAlias = "Callable[[Progress], None] | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupReport:
    """A finished backup. Sizes are bytes; ``seconds`` per phase; ``stages`` says where the time went.

    ``unreadable`` names secrets that could not be read (only when that was allowed; at most 1000 of
    ``unreadable_count``); ``deleted`` counts secrets whose latest version is deleted or destroyed, which is no fault.
    ``without_rows`` names the tables whose rows were left out: those that a restore preserves.
    """

    name: str
    backup_type: BackupType
    created_at: datetime
    size: int
    checksum: str
    sql_bytes: int
    secrets: int
    deleted: int = 0
    unreadable_count: int = 0
    unreadable: tuple[str, ...] = ()
    without_rows: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    stages: tuple[StageSnapshot, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """A verified archive: checksum, tag, gzip and JSON are right to the last byte."""

    name: str
    size: int
    header: Header
    sql_bytes: int
    secrets: int
    tables: int
    rows: int
    seconds: dict[str, float] = field(default_factory=dict)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """A finished restore. ``failed`` names secrets that could not be written (at most 1000 of ``failed_count``).

    ``pruned`` likewise names those that were removed, when that was asked for; ``unpruned_count`` are those which
    should have been and are still there. ``left_alone`` are the parts of the archive that had no target.

    ``preserved`` names the tables that kept their rows.
    """

    name: str
    header: Header
    size: int
    sql_bytes: int
    secrets: int
    tables: int = 0
    rows: int = 0
    written: int = 0
    unchanged: int = 0
    failed_count: int = 0
    failed: tuple[str, ...] = ()
    pruned_count: int = 0
    pruned: tuple[str, ...] = ()
    unpruned_count: int = 0
    left_alone: tuple[Part, ...] = ()
    preserved: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    stages: tuple[StageSnapshot, ...] = ()
