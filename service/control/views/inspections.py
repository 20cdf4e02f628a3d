"""Inspections: what an archive holds, what is different from it, what a restore of it would do. One at a time a target.

They are no jobs: nothing waits for them, and they wait for nothing. The process that was asked runs one. What it found
names secrets, so it is deleted after a while.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import psycopg
from psycopg.types.json import Jsonb

from ....stages.errors import Busy
from ..database import row_of

if TYPE_CHECKING:
    from ..database import Control

InspectionKind: TypeAlias = Literal["contents", "diff", "dry-run"]

#: Seconds for which a result is kept.
KEPT = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """One of them. ``other`` is the other archive of a comparison, None for the servers as they are.

    ``code`` is the kind of an ``error``. Both and ``result`` are None while it runs.
    """

    id: int
    kind: InspectionKind
    archive: str
    other: str | None
    asked_by: str
    created_at: datetime
    ended_at: datetime | None
    code: str | None
    error: str | None
    hint: str | None
    result: dict[str, Any] | None


class Inspections:
    """Those of one target. Every method raises what ``Control.connection`` raises."""

    def __init__(self, control: Control, target: str) -> None:
        self._control = control
        self._target = target

    async def begin(
        self, kind: InspectionKind, archive: str, other: str | None, asked_by: str, limit: float
    ) -> Inspection:
        """Begin one that has ``limit`` seconds. Raises ``Busy`` when another one runs."""
        values = {"target": self._target, "kept": KEPT, "kind": kind, "archive": archive, "other": other}
        values |= {"by": asked_by, "limit": limit}
        async with self._control.connection() as connection, connection.transaction():
            await connection.execute(_TIDY, values)
            try:
                async with connection.transaction(), connection.cursor(row_factory=row_of(Inspection)) as cursor:
                    await cursor.execute(_BEGIN, values)
                    made = await cursor.fetchone()
            except psycopg.errors.UniqueViolation:
                raise busy() from None
        assert made is not None
        return made

    async def get(self, number: int) -> Inspection | None:
        """One of them; None when there is none, or its result is too old."""
        async with (
            self._control.connection() as connection,
            connection.cursor(row_factory=row_of(Inspection)) as cursor,
        ):
            await cursor.execute(_GET, {"target": self._target, "kept": KEPT, "id": number})
            return await cursor.fetchone()

    async def end(
        self,
        number: int,
        result: Mapping[str, Any] | None = None,
        *,
        code: str | None = None,
        error: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Write what became of it, unless it was removed."""
        found = None if result is None else Jsonb(dict(result))
        values = {"target": self._target, "id": number, "code": code, "error": error, "hint": hint, "result": found}
        async with self._control.connection() as connection:
            await connection.execute(_END, values)

    async def remove(self, number: int) -> bool:
        """Delete one with what it found; who runs it ends it. False when there was none."""
        async with self._control.connection() as connection:
            values = {"target": self._target, "id": number}
            return (await connection.execute(_REMOVE, values)).rowcount > 0


def busy() -> Busy:
    """The error when another one runs."""
    return Busy("Another inspection is running.", hint="Wait until it has ended, or delete it; then ask again.")


_TIDY = """
    DELETE FROM kleidia_backup.inspections
    WHERE target = %(target)s
      AND (deadline < now() AND ended_at IS NULL OR ended_at < now() - make_interval(secs => %(kept)s))
"""
_BEGIN = """
    INSERT INTO kleidia_backup.inspections (target, kind, archive, other, asked_by, deadline)
    VALUES (%(target)s, %(kind)s, %(archive)s, %(other)s, %(by)s, now() + make_interval(secs => %(limit)s))
    RETURNING *
"""
_GET = """
    SELECT * FROM kleidia_backup.inspections
    WHERE target = %(target)s AND id = %(id)s
      AND (ended_at IS NULL AND deadline >= now() OR ended_at >= now() - make_interval(secs => %(kept)s))
"""
_END = """
    UPDATE kleidia_backup.inspections
    SET ended_at = now(), code = %(code)s, error = %(error)s, hint = %(hint)s, result = %(result)s
    WHERE target = %(target)s AND id = %(id)s AND ended_at IS NULL
"""
_REMOVE = "DELETE FROM kleidia_backup.inspections WHERE target = %(target)s AND id = %(id)s"
