"""What the control tables say of archives, for listings: of the service, and of the command, which only looks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

from ....pipeline.archives.listing import Known
from ....stages.errors import DatabaseError
from ....stages.stores.base import ObjectInfo
from ..migrate import TEXT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from ....pipeline.archives.listing import ArchiveInfo
    from ....stages.pg.server.settings import PostgresSettings

T = TypeVar("T")

#: Seconds in which the database answers a command that only lists.
_PATIENCE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What is recorded of an archive as it is listed now; of one that was replaced since, nothing.

    ``job`` made it, in ``duration`` seconds, and recorded ``digest``, its checksum. ``verdict`` is what the last
    verification or drill said that said anything (``verified``, ``proven`` or ``failed``); after a failure the archive
    is verified no more, until one says so again.
    ``said`` is when that was, ``tried`` when one was made last or at least begun, whatever it said, and ``unopened``
    whether that had the wrong password.
    """

    job: int | None = None
    digest: str | None = None
    duration: float | None = None
    verified: datetime | None = None
    proven: datetime | None = None
    verdict: str | None = None
    said: datetime | None = None
    tried: datetime | None = None
    unopened: bool = False

    @property
    def known(self) -> Known:
        """As a listing has it."""
        return Known(duration=self.duration, verified=self.verified, proven=self.proven)


async def recorded(
    connection: psycopg.AsyncConnection[Any], target: str, archives: Sequence[ArchiveInfo]
) -> dict[str, Recorded]:
    """What is recorded of these archives, by their names. Raises psycopg's errors."""
    found = {info.name: Recorded() for info in archives}
    listed = {info.name: ObjectInfo(info.name, info.size, info.modified, info.etag) for info in archives}
    names = [*found]
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_MADE, (target, names))
        for row in await cursor.fetchall():
            name = row["archive"]
            if row["size"] == listed[name].size:
                found[name] = replace(found[name], job=row["id"], duration=row["seconds"], digest=row["checksum"])
        await cursor.execute(_SAID, (target, names))
        for row in await cursor.fetchall():
            name = row["archive"]
            if listed[name].is_same(ObjectInfo(name, row["size"], row["modified"], row["etag"])):
                found[name] = replace(found[name], **_after(row))
        await cursor.execute(_BEGUN, (target, names))
        for row in await cursor.fetchall():
            name, begun = row["archive"], row["begun"]
            if begun >= listed[name].modified:
                found[name] = replace(found[name], tried=max(found[name].tried or begun, begun))
    return found


def _after(said: Mapping[str, Any]) -> dict[str, Any]:
    """What is different after this has been said. A failed check of the operator's own is no fault of the archive."""
    at, verdict = said["at"], said["verdict"]
    wrong_password = verdict == "inconclusive" and said["cause"] == "password"
    changes = {"tried": at, "unopened": wrong_password}
    if verdict == "inconclusive":
        return changes
    changes |= {"verdict": verdict, "said": at}
    if verdict == "failed":
        return changes | {"proven": None} | ({} if said["cause"] == "check" else {"verified": None})
    return changes | {"verified": at} | ({"proven": at} if verdict == "proven" else {})


async def proven_names(connection: psycopg.AsyncConnection[Any], target: str, names: Collection[str]) -> frozenset[str]:
    """Of these archives, those of which the last verdict of a drill was that they came back. Raises psycopg's errors.

    By the full name alone: of a copy, and of an archive whose key slots were changed since, nothing else is known.
    """
    cursor = await connection.execute(_PROVEN, (target, [*names]))
    return frozenset(name for name, verdict in await cursor.fetchall() if verdict == "proven")


async def look_up(settings: PostgresSettings, target: str, archives: Sequence[ArchiveInfo]) -> dict[str, Recorded]:
    """As ``recorded``, for who is no service: the tables are neither made nor brought up to date.

    Nothing where there are none. Raises ``DatabaseError``.
    """
    found = await _read(settings, lambda connection: recorded(connection, target, archives))
    return {} if found is None else found


async def look_up_proven(settings: PostgresSettings, target: str, names: Collection[str]) -> frozenset[str]:
    """As ``proven_names``, for who is no service. Nothing where there are no tables. Raises ``DatabaseError``."""
    found = await _read(settings, lambda connection: proven_names(connection, target, names))
    return frozenset() if found is None else found


async def _read(settings: PostgresSettings, ask: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]) -> T | None:
    """The answer of tables that are there; None when there are none."""
    given = {"connect_timeout": str(_PATIENCE)} | conninfo_to_dict(settings.full_conninfo()) | TEXT
    options = f"{given.get('options') or ''} -c default_transaction_read_only=on -c statement_timeout={_PATIENCE}s"
    conninfo = make_conninfo("", **given | {"options": options.strip()})
    try:
        async with await psycopg.AsyncConnection.connect(
            conninfo, autocommit=True, fallback_application_name="kleidia-backup list"
        ) as connection:
            cursor = await connection.execute("SELECT to_regclass('kleidia_backup.verifications')")
            if (await cursor.fetchone() or (None,))[0] is None:
                return None
            return await ask(connection)
    except psycopg.Error as exc:
        raise DatabaseError(
            f"The service's records of the archives cannot be read ({settings.where()}): {type(exc).__name__}.",
            hint="Check that its database can be reached, and that the role may read the schema kleidia_backup.",
        ) from None


_MADE = """
    SELECT DISTINCT ON (archive) archive, id, size, checksum,
        extract(epoch FROM finished_at - started_at)::double precision AS seconds
    FROM kleidia_backup.jobs
    WHERE target = %s AND archive = ANY(%s) AND kind = 'backup' AND status = 'completed' ORDER BY archive, id DESC
"""
# The last of each kind, and the last of each kind that said anything, oldest first.
_SAID = """
    SELECT archive, size, etag, modified, at, verdict, cause FROM (
        SELECT DISTINCT ON (archive, kind, verdict = 'inconclusive') * FROM kleidia_backup.verifications
        WHERE target = %s AND archive = ANY(%s) ORDER BY archive, kind, verdict = 'inconclusive', id DESC
    ) last ORDER BY id
"""
_PROVEN = """
    SELECT DISTINCT ON (archive) archive, verdict FROM kleidia_backup.verifications
    WHERE target = %s AND archive = ANY(%s) AND kind = 'drill' AND verdict <> 'inconclusive' ORDER BY archive, id DESC
"""
# One that was killed or cancelled has said nothing. If it did not count, the same archive would be next for ever.
_BEGUN = """
    SELECT archive, max(started_at) AS begun FROM kleidia_backup.jobs
    WHERE target = %s AND archive = ANY(%s) AND kind IN ('verify', 'drill') AND started_at IS NOT NULL GROUP BY archive
"""
