"""Archives that became too old, deleted after a successful backup; and the alarm about one that shrank.

What is deleted has a name of ours directly under our prefix, and a header of ours that fits it. Its age is what both
say, not when the store last changed it: a bucket that was moved holds archives from long ago that it got yesterday.
Two installations that share a prefix cannot be told apart: give each its own.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import structlog

from ...formats.v1 import ARCHIVE_NAME
from ...pipeline import archives
from ...pipeline.job import open_store
from ...stages.errors import ArchiveError, KleidiaError, ObjectMissing, StoreError, StoreUnreachable
from ..control.audit import SYSTEM, AuditEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...stages.stores.base import ObjectInfo, ObjectStore
    from ..control.audit import Audit


@dataclass(frozen=True, slots=True)
class Aged:
    """An archive of ours and when it was made."""

    name: str
    backup_type: str
    created_at: datetime


def expired(aged: Iterable[Aged], now: datetime, *, days: int, keep: int, newest: str | None = None) -> list[Aged]:
    """The archives that retention gives up, oldest first.

    Those older than ``days`` (0: none ever), but never ``newest``, the last successful one, and never the ``keep``
    newest of each type (at least one): somebody who makes a full backup each night and one of the vault each month does
    not lose the latter. One from the future, by a wrong clock, is neither old nor among those that are kept instead.
    """
    if days <= 0:
        return []
    limit = now - timedelta(days=days)
    by_type: dict[str, list[Aged]] = defaultdict(list)
    for each in aged:
        if each.created_at <= now or each.name == newest:
            by_type[each.backup_type].append(each)
    found: list[Aged] = []
    for group in by_type.values():
        group.sort(key=lambda each: (each.created_at, each.name), reverse=True)
        found += [each for each in group[max(keep, 1) :] if each.created_at < limit and each.name != newest]
    return sorted(found, key=lambda each: (each.created_at, each.name))


def by_name(name: str, prefix: str) -> Aged | None:
    """What an object's name says; None when it is none of ours, directly under ``prefix``."""
    match = ARCHIVE_NAME.fullmatch(name, len(prefix)) if name.startswith(prefix) else None
    if match is None:
        return None
    try:
        moment = datetime.strptime(f"{match[2]}{match[3]}+0000", "%Y%m%d%H%M%S%z")
    except ValueError:
        return None
    return Aged(name, match[1], moment.astimezone(UTC))


async def apply_retention(
    store: archives.Store,
    audit: Audit,
    *,
    now: datetime,
    days: int,
    keep: int,
    newest: str,
    job_id: int | None = None,
) -> list[str]:
    """Delete what ``expired`` names, each deletion audited as the system's; warnings about what did not work.

    ``newest`` is the full name of the archive that was just made, which nothing else proves to be whole.
    """
    if days <= 0:
        return []
    try:
        async with open_store(store) as opened:
            return await _Retention(opened, audit, now, days, keep, newest, job_id).run()
    except KleidiaError as exc:
        return [f"Retention did not take place: {exc.message}"]


class _Retention:
    def __init__(
        self, store: ObjectStore, audit: Audit, now: datetime, days: int, keep: int, newest: str, job_id: int | None
    ) -> None:
        self._store = store
        self._audit = audit
        self._now = now
        self._days = days
        self._keep = keep
        self._newest = newest
        self._job_id = job_id
        self._infos: dict[str, ObjectInfo] = {}
        self._unread: list[tuple[str, str]] = []
        self._warnings: list[str] = []
        self._log = structlog.get_logger("kleidia_backup.retention").bind(job=job_id)

    async def run(self) -> list[str]:
        """Everything. Raises the ``StoreError`` tree when the listing fails."""
        prefix = self._store.prefix
        names = [info.name async for info in self._store.list(prefix)]
        named = [aged for name in names if (aged := by_name(name, prefix)) is not None]
        if any(aged.created_at < self._now - timedelta(days=self._days) for aged in named):
            ours = await self._ours(named)
            await self._delete(expired(ours, self._now, days=self._days, keep=self._keep, newest=self._newest))
        return self._warnings

    async def _ours(self, named: Sequence[Aged]) -> list[Aged]:
        """Those with a header of ours, as far as the choice needs to know: the newest of each type, and the old."""
        limit = self._now - timedelta(days=self._days)
        found: list[Aged] = []
        counted: dict[str, int] = defaultdict(int)
        for each in sorted(named, key=lambda aged: aged.created_at, reverse=True):
            if each.created_at >= limit and counted[each.backup_type] >= self._keep:
                continue
            aged = each if each.name == self._newest else await self._inspected(each)
            if aged is not None:
                found.append(aged)
                counted[each.backup_type] += aged.created_at <= self._now
        if self._unread:
            first, why = self._unread[0]
            more = f", and {len(self._unread) - 1} more" if len(self._unread) > 1 else ""
            self._warnings.append(f"Retention cannot look at {first}{more}, and leaves them alone: {why}")
        return found

    async def _inspected(self, named: Aged) -> Aged | None:
        """The archive with the later of its two times; None when its header is not ours or does not fit its name."""
        try:
            # The store is open, and stays so: what opens it and leaves it there does nothing.
            info, preamble = await archives.inspect(named.name, cast("ObjectStore", nullcontext(self._store)))
        except (ArchiveError, ObjectMissing) as exc:
            self._log.info("left alone: no archive of ours", name=named.name, error=exc.message)
            return None
        except StoreUnreachable:
            raise
        except StoreError as exc:  # for example one that a lifecycle rule has moved to an archive tier
            self._unread.append((named.name, exc.message))
            return None
        if preamble.header.backup_type != named.backup_type:
            self._log.info("left alone: its header does not fit its name", name=named.name)
            return None
        self._infos[named.name] = info
        return Aged(named.name, named.backup_type, max(named.created_at, preamble.header.created_at))

    async def _delete(self, chosen: Sequence[Aged]) -> None:
        for number, each in enumerate(chosen):
            try:
                await self._store.delete(each.name, pin=self._infos[each.name])
            except ObjectMissing:
                continue  # somebody was faster
            except StoreError as exc:
                self._warnings.append(f"{each.name} is older than {self._days} days and was not deleted: {exc.message}")
                if isinstance(exc, StoreUnreachable):  # each attempt takes minutes
                    left = len(chosen) - number - 1
                    self._warnings += [f"{left} more archives were not deleted either."] if left else []
                    return
                continue
            await self._note(each)

    async def _note(self, deleted: Aged) -> None:
        self._log.info("deleted", name=deleted.name, created_at=deleted.created_at.isoformat())
        await self._audit.write(
            AuditEntry.by(
                SYSTEM,
                "archive.deleted",
                job_id=self._job_id,
                archive=deleted.name,
                backup_type=deleted.backup_type,
                size=self._infos[deleted.name].size,
                details=f"Retention: made {deleted.created_at:%Y-%m-%d %H:%M:%S} UTC, more than {self._days} days ago.",
            )
        )


def shrink_warning(backup_type: str, size: int, last_size: int | None) -> str | None:
    """A warning when an archive has less than half the bytes of the last successful one of its type; else None."""
    if not last_size or size * 2 >= last_size:
        return None
    return (
        f"This {backup_type} archive has {size} bytes, less than half of the last one's {last_size}: "
        "check that nothing is missing in it. No older archive was deleted after this one, however old; the next one "
        "that is not that much smaller than this deletes again."
    )
