"""What verifications and drills have said of archives, and of which object exactly."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from .records import Recorded, proven_names, recorded

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ....formats.facts import BackupType
    from ....pipeline.archives.listing import ArchiveInfo
    from ..database import Connection, Control

Verdict: TypeAlias = Literal["verified", "proven", "failed", "inconclusive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """A verification (``verified``, ``failed`` or ``inconclusive``) or a drill (``proven`` instead of ``verified``).

    ``size`` (bytes), ``etag`` and ``modified`` are those of the archive as the store listed it. ``checksum`` is what
    the archive says of itself, if anything; ``cause`` what a verdict is due to that is not good; ``evidence`` the file
    of a drill's report.
    """

    kind: Literal["verify", "drill"]
    archive: str
    backup_type: BackupType
    size: int
    etag: str
    modified: datetime
    verdict: Verdict
    job_id: int
    checksum: str = ""
    cause: str = ""
    error: str = ""
    evidence: str = ""


class Verifications:
    """The verifications of one target. Every method raises what ``Control.connection`` raises."""

    def __init__(self, control: Control, target: str) -> None:
        self._control = control
        self._target = target

    async def insert(self, made: Verification, connection: Connection) -> None:
        """Write one, in the transaction that ends its job."""
        values = {each.name: getattr(made, each.name) for each in fields(made)}
        await connection.execute(_INSERT, values | {"target": self._target})

    async def recorded(self, archives: Sequence[ArchiveInfo]) -> dict[str, Recorded]:
        """What is recorded of these archives, by their names."""
        async with self._control.connection() as connection:
            return await recorded(connection, self._target, archives)

    async def proven(self, names: Collection[str]) -> frozenset[str]:
        """Which of these archives, by their full names, a drill brought back when one last said anything."""
        async with self._control.connection() as connection:
            return await proven_names(connection, self._target, names)


_INSERT = """
    INSERT INTO kleidia_backup.verifications
        (target, kind, archive, backup_type, size, etag, modified, checksum, verdict, cause, error, evidence, job_id)
    VALUES (%(target)s, %(kind)s, %(archive)s, %(backup_type)s, %(size)s, %(etag)s, %(modified)s, %(checksum)s,
        %(verdict)s, %(cause)s, %(error)s, %(evidence)s, %(job_id)s)
"""
# A drill reads its archive to the last byte, so what it proves is verified too.
