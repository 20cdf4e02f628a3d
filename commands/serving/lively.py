"""What fills the page of ``serve --demo``: thirty made-up days of history, then a real backup and a drill."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import anyio
from psycopg.types.json import Jsonb

from ...service.control.jobs import NewJob
from ...stages.errors import KleidiaError

if TYPE_CHECKING:
    from ...service.control.database import Connection
    from ...service.control.jobs import Kind
    from ...service.service import Service

DAYS = 30
#: Days ago on which no backup was made, and on which one failed.
_MISSED, _FAILED = (
    (17,),
    {9: "The object store does not answer: the connection was refused.", 22: "The vault is sealed."},
)
_HINTS = {9: "Check the network and the endpoint in the settings.", 22: "Unseal it, then run the backup again."}
#: Seconds between two looks at whether a job has ended.
_LOOK = 0.5


class _Made(NamedTuple):
    """A made-up job: when it was due, how long it took (seconds), and what became of it."""

    kind: Kind
    due: datetime
    seconds: float
    size: int | None = None
    error: str | None = None
    hint: str | None = None


def history(now: datetime) -> list[_Made]:
    """Thirty days of nightly backups, daily verifications and weekly drills, oldest first."""
    made = []
    for ago in range(DAYS, 0, -1):
        night = _night(now, ago)
        size = 290_000 - ago * 2_000 + ago * 7919 % 11 * 300  # about as large as the real ones
        if ago in _FAILED:
            made.append(_Made("backup", night, 4.2, None, _FAILED[ago], _HINTS[ago]))
        elif ago not in _MISSED:
            made.append(_Made("backup", night, 1 + size / 300_000, size))
            made.append(_Made("verify", night.replace(hour=4), 0.4 + size / 900_000, size))
        if night.weekday() == 6:
            made.append(_Made("drill", night.replace(hour=5), 5 + size / 200_000, size))
    return made


def _night(now: datetime, ago: int) -> datetime:
    """When the backup of so many days ago was due."""
    return (now - timedelta(days=ago)).replace(hour=2, minute=0, second=0, microsecond=0)


async def live(service: Service) -> None:
    """Write the history, then take a backup and drill it. What goes wrong is in its job; nothing else depends on it."""
    async with service.control.connection() as connection, connection.transaction():
        await _write(service.target, connection)
    service.changes.add()
    try:
        for kind in ("backup", "drill"):
            job = await service.submit(_asked(kind))
            while (found := await service.jobs.get(job.id)) is not None and found.active:  # noqa: ASYNC110 - of a database
                await anyio.sleep(_LOOK)
    except KleidiaError:
        return


def _asked(kind: Kind) -> NewJob:
    return NewJob(
        kind=kind, backup_type="full", requested_by="demo", requested_by_name="the demo", ip="127.0.0.1", workstation=""
    )


async def _write(target: str, connection: Connection) -> None:
    now = datetime.now(UTC)
    for ago in _MISSED:
        await connection.execute(_NOTE_MISSED, (target, _night(now, ago)))
    for each in history(now):
        ended = each.due + timedelta(seconds=each.seconds)
        values = (
            each.kind,
            target,
            "failed" if each.error else "completed",
            each.size,
            each.error,
            each.hint,
            each.due,
            each.due,
            each.due,
            ended,
            Jsonb({"made_up": True}),
        )
        await connection.execute(_INSERT, values)


_NOTE_MISSED = "INSERT INTO kleidia_backup.missed_runs (target, kind, due) VALUES (%s, 'backup', %s)"
_INSERT = """
    INSERT INTO kleidia_backup.jobs
        (kind, backup_type, target, status, size, error, hint, scheduled_for, created_at, started_at, finished_at,
        report)
    VALUES (%s, 'full', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
