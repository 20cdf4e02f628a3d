"""One side of a comparison: what an archive holds, or what there is now, in a form that is small and shows no value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...stages.errors import ConfigurationError
from ...stages.pg.outline import Measured, Outline
from ...stages.pg.survey import copied
from ..engine import Inlet, in_thread
from .marks import mark

if TYPE_CHECKING:
    from ...formats.secret import Secret
    from ...stages.pg.server.settings import Table
    from ..archives.reading import OpenArchive
    from ..job import Job
    from ..parts.names import PartName

#: Most secrets that one side may have: a path and 41 bytes are kept of each.
MOST_SECRETS = 500_000


@dataclass(frozen=True, slots=True)
class TableRows:
    """How many rows a side has of a table (None where it does not say), their bytes as text, and their digest.

    That is the one of ``Measured``. Of the last two there may be None, and nothing, where they are not known.
    """

    rows: int | None = None
    bytes: int | None = None
    digest: str = ""


class SecretHashes:
    """A sink of secrets that keeps of each its path and a mark: HMACs over path and value, and what else is known.

    The ``key`` is random, and of one run: so what is kept says nothing about a value to who does not have both.
    Raises ``ConfigurationError`` for more than ``MOST_SECRETS``.
    """

    name = "hashes"

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.found: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"SecretHashes({len(self.found)} secrets)"

    async def __call__(self, secrets: Inlet[Secret]) -> None:
        """Read to the end."""
        while batch := await secrets.batch():
            await in_thread(self._add, batch)

    def _add(self, batch: Iterable[Secret]) -> None:
        for secret in batch:
            self.found[secret.path] = mark(self._key, secret)
        if len(self.found) > MOST_SECRETS:
            raise ConfigurationError(
                f"There are more than {MOST_SECRETS:,} secrets, which is the most that is compared.",
                hint="Compare the databases alone, or the secrets by a dry run of a restore.",
                effect="nothing",
            )


@dataclass(slots=True)
class Side:
    """What one side has. ``outline`` is None where the database is not compared.

    ``secrets`` are marks by path; ``with_gone``: also keys without a value, which not every archive can have.
    """

    name: str
    tables: dict[Table, TableRows] = field(default_factory=dict)
    outline: Outline | None = None
    secrets: dict[str, bytes] = field(default_factory=dict, repr=False)
    with_gone: bool = False
    warnings: list[str] = field(default_factory=list)


async def archive_side(job: Job, archive: OpenArchive, key: bytes, only: PartName | None) -> Side:
    """What an archive holds, of the part that is compared or of both. Raises as ``OpenArchive.look``."""
    outline, hashes = Outline(), SecretHashes(key)
    verified = await archive.look(job, hashes, sql=outline, only=only)
    measured = outline.tables
    for line in archive.index.copies if archive.index else ():
        if (table := copied(line.copy.encode())) is not None:
            measured.setdefault(table, Measured()).add(line.bytes, line.h)
    facts = verified.facts
    tables = {table: _rows_of(facts.rows.get(table), measured.get(table)) for table in facts.tables | set(facts.rows)}
    side = Side(archive.info.name, tables, outline, hashes.found, with_gone=archive.index is not None)
    if facts.truncated:
        side.warnings.append(f"{archive.info.name} has more objects than are compared by name.")
    return side


def _rows_of(rows: int | None, measured: Measured | None) -> TableRows:
    return TableRows(rows) if measured is None else TableRows(rows, measured.bytes, measured.digest)
