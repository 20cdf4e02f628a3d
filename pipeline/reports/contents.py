"""What the index of an archive says of its contents, and what a conversion made. Plain frozen data, ready for JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...formats.facts import BackupType, Facts
    from ..engine import StageSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class TableContents:
    """A table whose rows an archive holds: how many, and their bytes as text, before compression."""

    name: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveContents:
    """What an archive holds, by its index, which its key authenticates; of the rest nothing was read.

    ``sql_bytes`` and ``secrets_bytes`` are as text, ``sql_stored`` and ``secrets_stored`` as compressed, ``chunks``
    the pieces in which all of it is stored. ``tables`` are those that have a COPY statement, in the archive's order.
    """

    name: str
    size: int
    header: Facts
    tables: tuple[TableContents, ...]
    rows: int
    sql_bytes: int
    sql_stored: int
    secrets: int
    secrets_bytes: int
    secrets_stored: int
    chunks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TableListing:
    """A table that an archive makes or fills. ``rows`` and ``bytes`` (as text) are None where it holds no rows of it.

    None of them, because they were left out on purpose, is not the same as 0 rows.
    """

    name: str
    rows: int | None
    bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FullContents:
    """What an archive holds, by its statements, and by its index or a reading of all of it.

    ``kinds`` counts objects by pg_dump's own word for each, which stands in its comments: empty where an SQL has none.
    ``extensions``, ``schemas`` and ``roles`` are those that the statements name. ``secret_paths`` is None unless they
    were asked for; ``paths_left_out`` counts those beyond what is listed.
    """

    name: str
    size: int
    header: Facts
    tables: tuple[TableListing, ...]
    rows: int
    sql_bytes: int
    kinds: dict[str, int]
    extensions: tuple[str, ...]
    schemas: tuple[str, ...]
    roles: tuple[str, ...]
    secrets: int
    secret_paths: tuple[str, ...] | None = None
    paths_left_out: int = 0
    truncated: bool = False
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertReport:
    """An archive that was written in another format. Sizes are bytes; ``seconds`` per phase.

    ``source`` is the archive that it was read from, and that is still there; ``checksum`` as a backup's. ``warnings``
    say what the other format has no place for.
    """

    name: str
    source: str
    source_size: int
    format: str
    backup_type: BackupType
    created_at: datetime
    size: int
    checksum: str
    sql_bytes: int
    secrets: int
    warnings: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    stages: tuple[StageSnapshot, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """A file of clear text that was made of some of an archive. ``size`` is bytes of the file; ``seconds`` per phase.

    ``secrets`` is how many it has, ``rows`` how many rows of ``table``.
    """

    name: str
    header: Facts
    file: str
    size: int
    secrets: int = 0
    table: str = ""
    rows: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    stages: tuple[StageSnapshot, ...] = ()
