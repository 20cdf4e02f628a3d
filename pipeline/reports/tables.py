"""What a restore of some tables says when it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...stages.load.figures import NO_LOAD, Load

if TYPE_CHECKING:
    from ...formats.facts import Facts
    from ...stages.pg.tables.session import How
    from ..engine import StageSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredTable:
    """A table of the archive, the name that it has now, and how many rows came."""

    name: str
    restored_as: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TablesReport:
    """A finished restore of some tables, with all partitions and children of them.

    ``archive_bytes`` are those of ciphertext that were read, without head and index; ``seconds`` per phase. ``backup``
    is the archive that was made of the database before.
    """

    name: str
    header: Facts
    size: int
    how: How
    tables: tuple[RestoredTable, ...]
    backup: str | None = None
    archive_bytes: int = 0
    warnings: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    load: Load = NO_LOAD
    stages: tuple[StageSnapshot, ...] = ()

    @property
    def rows(self) -> int:
        """Of all of them."""
        return sum(each.rows for each in self.tables)


@dataclass(frozen=True, slots=True)
class TablePlan:
    """A table of the archive, the name that it would have, its rows in the archive and now.

    ``rows_now`` is None where there is no such table, or where nobody knows; ``exact`` says that they were counted.
    """

    name: str
    restored_as: str
    rows_archive: int
    rows_now: int | None
    exact: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TablesPlan:
    """What a restore of some tables would do. The database is as before.

    ``keys`` are the foreign keys that would be made again, of other tables and of these; ``remade`` views and functions
    that would be dropped and made again; ``dropped`` partitions that the archive does not know. ``blockers`` would make
    the restore fail, ``warnings`` are worth a thought; all are sentences.
    """

    name: str
    header: Facts
    size: int
    how: How
    tables: tuple[TablePlan, ...]
    keys: tuple[str, ...] = ()
    remade: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    blockers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    archive_bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    load: Load = NO_LOAD
