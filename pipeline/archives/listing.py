"""Which archives a store has, when each was made, and what is known of each besides.

What only a service or a drill knows comes through ``Known``: who keeps such records gives it, and what nobody says
stays None, which means that it is unknown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

from ...formats.errors import ArchiveError
from ...formats.facts import ARCHIVE_NAME, BackupType
from ...stages.archive.download import read_head
from ...stages.errors import ObjectMissing, StoreError, StoreUnreachable
from ...stages.stores.locks import locks_of
from ...stages.stores.names import SUFFIX, is_directly_under, is_probe
from ..engine import task_group
from ..retention.pins import pinned_in

if TYPE_CHECKING:
    from ...stages.stores.base import ObjectInfo, ObjectStore, StoreSettings
    from .copied import CopyState

#: Most archives that a page of a listing shows (specification, Timeouts and Limits).
MAX_LISTED = 1000
#: What the names of backups begin with that were taken before a restore: none of them is the latest.
BEFORE = "backup-before-restore-"
#: Heads that are read at once.
_AT_ONCE = 16
#: By how much a store's clock may be behind that of who makes archives.
_SLACK = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is recorded of an archive elsewhere: None is unknown, which is neither no nor zero.

    ``duration`` is seconds that its backup took, ``verified`` when it was last read to its last byte and found whole,
    ``proven`` when a drill last brought it back, ``pinned`` whether it has a pin, which the listing itself says,
    ``copies`` how it is in each of the other stores that are to have it.
    """

    duration: float | None = None
    verified: datetime | None = None
    proven: datetime | None = None
    pinned: bool | None = None
    copies: tuple[CopyState, ...] | None = None


#: By the archives' full names.
Records: TypeAlias = Mapping[str, Known]


@dataclass(frozen=True, slots=True)
class ArchiveInfo:
    """One line of a listing: size in bytes, and the type, empty where neither name nor head says it.

    ``modified`` is when the store took it, or when its slots were replaced; ``created_at`` when it was made, by its
    name or by its head, neither of which a listing authenticates. None where neither says it. ``etag`` is the one that
    the store lists, which tells an archive from another one of the same name, size and time. ``locked_until`` is until
    when the store lets nobody delete it, and ``held`` that it does not until a legal hold is taken off, as far as our
    key may know.
    """

    name: str
    size: int
    modified: datetime
    backup_type: BackupType | str
    created_at: datetime | None = None
    known: Known = Known()
    etag: str = ""
    locked_until: datetime | None = None
    held: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Some archives of a listing, of ``total`` objects in it that are called as archives are.

    ``next`` is the offset of the page that follows; None on the last one.
    """

    archives: list[ArchiveInfo]
    total: int
    next: int | None


async def list_archives(
    store: StoreSettings,
    *,
    limit: int = MAX_LISTED,
    backup_type: BackupType | None = None,
    since: datetime | None = None,
    records: Records | None = None,
    locks: bool = True,
) -> list[ArchiveInfo]:
    """The archives of the first page, as ``page_of_archives`` has them; ``limit`` may be any number."""
    found = await page_of_archives(
        store, limit=limit, backup_type=backup_type, since=since, records=records, locks=locks
    )
    return found.archives


async def page_of_archives(
    store: StoreSettings,
    *,
    limit: int = MAX_LISTED,
    offset: int = 0,
    backup_type: BackupType | None = None,
    since: datetime | None = None,
    records: Records | None = None,
    locks: bool = True,
    trusted: int = 0,
) -> Page:
    """The archives directly under the store's prefix, newest first, at most ``limit`` of them from ``offset`` on.

    Where there are more, the heads of those that are shown are read, and what is no archive is passed over: other
    objects with such names hide none; up to ``trusted`` of them are shown unread, on as many pages as that takes.
    ``locks`` says whether the store is asked what locks each that is shown, which costs a request for each where it can
    lock any.

    ``backup_type`` and ``since`` (made then or later) leave out others; one of which that is unknown is left out too.
    What lies in a folder below may be another installation's. An archive whose name is of somebody's choice costs a
    ranged read of its head, which says when it was made. Raises the ``StoreError`` tree.
    """
    async with store.open() as target:
        found, pinned = await _stored(target)
        if since is not None:  # nothing is made after it was stored
            found = [info for info in found if since - info.modified <= _SLACK]
        wanted = [
            replace(info, known=replace((records or {}).get(info.name, Known()), pinned=info.name in pinned))
            for info in await _dated(target, found)
            if (backup_type is None or info.backup_type == backup_type)
            and (since is None or (info.created_at is not None and info.created_at >= since))
        ]
        wanted.sort(key=_age, reverse=True)
        if len(wanted) <= max(limit, trusted):
            end = min(offset + limit, len(wanted))
            shown = wanted[offset:end]
        else:
            shown, end = await _page(target, wanted, offset, limit)
        shown = await _locked(target, shown) if locks else shown
        return Page(shown, len(wanted), end if end < len(wanted) else None)


async def line_of(store: StoreSettings, name: str) -> ArchiveInfo:
    """The line that a listing has of one archive, by its full name.

    Raises ``ObjectMissing``, and the rest of the ``StoreError`` tree.
    """
    async with store.open() as target:
        stored, pinned = await _stored(target, name)
        found = [info for info in stored if info.name == name]
        if not found:
            raise ObjectMissing(
                f"There is no archive {name}.",
                hint="What there is, `kleidia-backup list` and GET /api/backup/list show.",
            )
        line = replace((await _dated(target, found))[0], known=Known(pinned=name in pinned))
        return (await _locked(target, [line]))[0]


async def newest(store: ObjectStore, types: Collection[str] = ()) -> str:
    """The full name of the archive that was made last, of these types or of any; what does not say when is none.

    Raises ``ObjectMissing`` where there is none, and the ``StoreError`` tree.
    """
    stored, _ = await _stored(store)
    named = [info for info in stored if not info.name[len(store.prefix) :].startswith(BEFORE)]
    found = sorted(named, key=lambda info: (info.modified, info.name), reverse=True)
    best: tuple[datetime, datetime, str] | None = None
    # An archive may have been touched since it was made (its slots were replaced), but not before: so the heads of
    # those are not read that were stored before the newest so far was made.
    for info in found:
        if best is not None and best[0] - info.modified > _SLACK:
            break
        for each in await _dated(store, [info]):
            known = each.created_at is not None and (not types or each.backup_type in types)
            better = known and (best is None or _age(each) > best)
            if better and await _is_archive(store, each.name):
                best = _age(each)
    if best is None:
        raise ObjectMissing(
            f"There is no archive under {store.prefix or '(no prefix)'}, so none is the latest.",
            hint="Make one with `kleidia-backup backup`, or check prefix in [store].",
        )
    return best[2]


async def newest_in(store: StoreSettings) -> str:
    """The same of a store that is not open: a name that means one archive, whatever is made meanwhile."""
    async with store.open() as target:
        return await newest(target)


async def _stored(store: ObjectStore, beginning: str = "") -> tuple[list[ObjectInfo], set[str]]:
    """What has the name of an archive, and the names of archives that are pinned."""
    prefix = store.prefix
    listed = [info async for info in store.list(beginning or prefix) if is_directly_under(info.name, prefix)]
    archives = [info for info in listed if info.name.endswith(SUFFIX) and not is_probe(info.name, prefix)]
    return archives, pinned_in(info.name for info in listed)


async def _dated(store: ObjectStore, found: Sequence[ObjectInfo]) -> list[ArchiveInfo]:
    """When each was made, and its type."""
    infos = {info.name: _by_name(info) for info in found}
    unnamed = iter([info for info in found if infos[info.name].created_at is None])

    async def read() -> None:
        for info in unnamed:
            infos[info.name] = await _by_head(store, infos[info.name])

    async with task_group() as tasks:
        for _ in range(_AT_ONCE):
            tasks.start_soon(read)
    return list(infos.values())


async def _locked(store: ObjectStore, infos: Sequence[ArchiveInfo]) -> list[ArchiveInfo]:
    """The same with what locks each."""
    locks = await locks_of(store, [each.name for each in infos])
    return [
        replace(each, locked_until=lock.until, held=lock.held) if (lock := locks.get(each.name)) else each
        for each in infos
    ]


async def _page(
    store: ObjectStore, infos: Sequence[ArchiveInfo], start: int, limit: int
) -> tuple[list[ArchiveInfo], int]:
    """The first ``limit`` of these that are archives, from ``start`` on, and where those behind them begin."""
    found: list[ArchiveInfo] = []
    while len(found) < limit and start < len(infos):
        tried = infos[start : start + limit - len(found)]
        start += len(tried)
        archives: set[str] = set()
        names = iter([each.name for each in tried])

        async def read(names: Iterator[str] = names, archives: set[str] = archives) -> None:
            for name in names:
                if await _is_archive(store, name):
                    archives.add(name)

        async with task_group() as tasks:
            for _ in range(_AT_ONCE):
                tasks.start_soon(read)
        found += [each for each in tried if each.name in archives]
    return found, start


async def _is_archive(store: ObjectStore, name: str) -> bool:
    """Whether its head is one of an archive; one that the store does not give now may be one."""
    try:
        await read_head(store, name)
    except (ArchiveError, ObjectMissing):
        return False
    except StoreUnreachable:
        raise
    except StoreError:
        return True
    return True


def _by_name(info: ObjectInfo) -> ArchiveInfo:
    match = ARCHIVE_NAME.fullmatch(info.name, max(0, info.name.rfind("backup-")))
    if match is None:
        return ArchiveInfo(info.name, info.size, info.modified, "", etag=info.etag)
    try:
        created_at = datetime.strptime(f"{match[2]}{match[3]}+0000", "%Y%m%d%H%M%S%z").astimezone(UTC)
    except ValueError:  # no such day
        created_at = None
    return ArchiveInfo(info.name, info.size, info.modified, match[1], created_at, etag=info.etag)


async def _by_head(store: ObjectStore, info: ArchiveInfo) -> ArchiveInfo:
    """The same of what is no archive, or whose head is damaged: a listing shows it all the same."""
    try:
        _, preamble = await read_head(store, info.name)
    except StoreUnreachable:
        raise
    except (ArchiveError, StoreError):  # of the latter, for example one that a rule moved to another storage class
        return info
    header = preamble.header
    return replace(info, backup_type=info.backup_type or header.backup_type, created_at=header.created_at)


def _age(info: ArchiveInfo) -> tuple[datetime, datetime, str]:
    return info.created_at or info.modified, info.modified, info.name
