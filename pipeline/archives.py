"""Everything that is done with archives besides backup and restore, and the test of all connections."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from ..formats.errors import NotAnArchive
from ..formats.v1 import ARCHIVE_NAME
from ..stages.archive_source import ArchiveSource, read_preamble
from ..stages.errors import ConfigurationError, KleidiaError
from ..stages.words import count
from .engine import Pipeline, in_thread
from .job import JOB_TIMEOUT, Job, open_store, within
from .opening import full_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime
    from pathlib import Path

    from ..formats.v1 import Preamble
    from ..stages.pg.settings import PostgresSettings
    from ..stages.stores.base import ObjectInfo, ObjectStore
    from ..stages.stores.directory import DirectorySettings
    from ..stages.stores.s3 import S3Settings
    from ..stages.vault.settings import VaultSettings
    from .engine import Inlet
    from .report import OnProgress

    Store = S3Settings | DirectorySettings | ObjectStore

#: Most archives that a listing shows (specification, Timeouts and Limits).
MAX_LISTED = 1000
#: What the name of an archive ends with; nothing else is listed or deleted.
SUFFIX = ".enc"
#: How long a presigned URL works (likewise).
URL_EXPIRES = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ArchiveInfo:
    """One line of a listing: size in bytes, type by its name (empty for a name that somebody chose)."""

    name: str
    size: int
    modified: datetime
    backup_type: str


async def list_archives(store: Store, *, limit: int = MAX_LISTED) -> list[ArchiveInfo]:
    """The archives under the store's prefix, newest first, at most ``limit``. Raises the ``StoreError`` tree."""
    async with open_store(store) as target:
        found = [info async for info in target.list(target.prefix) if info.name.endswith(SUFFIX)]
    found.sort(key=lambda info: (info.modified, info.name), reverse=True)
    return [ArchiveInfo(info.name, info.size, info.modified, _type_of(info.name)) for info in found[:limit]]


async def inspect(name: str, store: Store) -> tuple[ObjectInfo, Preamble]:
    """Read an archive's clear-text header by one ranged request.

    Raises the ``ArchiveError`` and ``StoreError`` trees.
    """
    async with open_store(store) as target:
        return await read_preamble(target, full_name(target, name))


async def find(name: str, store: Store) -> ObjectInfo:
    """What ``delete`` would remove; raises what it would."""
    async with open_store(store) as target:
        return await _find(name, target)


async def delete(name: str, store: Store) -> None:
    """Remove what a listing shows, damaged or not.

    Raises ``NotAnArchive`` for a name that no archive has, and the ``StoreError`` tree.
    """
    async with open_store(store) as target:
        found = await _find(name, target)
        await target.delete(found.name, pin=found)


async def _find(name: str, store: ObjectStore) -> ObjectInfo:
    full = full_name(store, name)
    if not full.endswith(SUFFIX):
        raise NotAnArchive(
            f"{full} is no kleidia-backup archive: its name does not end with {SUFFIX}.",
            hint="Only what `kleidia-backup list` shows is deleted.",
        )
    return await store.head(full)


async def presign(name: str, store: Store, *, expires: timedelta = URL_EXPIRES) -> str:
    """A URL with which anybody can download the (encrypted) archive for that long. Raises the ``StoreError`` tree."""
    async with open_store(store) as target:
        full = full_name(target, name)
        await target.head(full)
        return await target.presign(full, expires)


async def download(
    name: str,
    path: Path,
    store: Store,
    *,
    on_progress: OnProgress = None,
    timeout: float = JOB_TIMEOUT,  # noqa: ASYNC109 - a limit for the job, with an error of its own
) -> int:
    """Copy an archive into a file, which appears only when it is complete; returns its size in bytes.

    Raises ``ConfigurationError`` when the file exists or cannot be written, and the ``StoreError`` tree.
    """
    if await in_thread(os.path.lexists, path):
        raise ConfigurationError(f"{path} exists already.", hint="Name another file, or remove that one.")
    job = Job(on_progress, None)

    async def work() -> int:
        async with open_store(store) as target:
            info = await target.head(full_name(target, name))
            pipeline = Pipeline()
            pipeline.sink(_FileSink(path), pipeline.source(ArchiveSource(target, info, start=0)))
            job.begin("download", archive_total=info.size)
            await job.run(pipeline, archive_bytes=lambda s: s.edge("download").bytes)
            return info.size

    return await within(timeout, work, job)


class _FileSink:
    """Writes a file under a temporary name beside its own, and links it there when the input ended."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")

    async def __call__(self, chunks: Inlet[bytes]) -> None:
        try:
            await self._write(chunks)
        except OSError as exc:
            raise ConfigurationError(f"{self._path} cannot be written: {exc.strerror}.", hint="Name another.") from exc
        finally:
            with suppress(OSError):
                self._part.unlink()

    async def _write(self, chunks: Inlet[bytes]) -> None:
        descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            async for chunk in chunks:
                await in_thread(file.write, chunk)
            await in_thread(file.flush)  # a full disk shows here at the latest
            await in_thread(os.fsync, file.fileno())
        os.link(self._part, self._path)


@dataclass(frozen=True, slots=True)
class Check:
    """What a test of one connection found: ``missing`` names each right that is not there."""

    part: Literal["store", "database", "vault"]
    ok: bool
    missing: tuple[str, ...] = ()
    detail: str = ""
    hint: str = ""


async def check_connections(
    *, store: Store | None = None, database: PostgresSettings | None = None, vault: VaultSettings | None = None
) -> list[Check]:
    """Try what a backup and a restore need of each given part, one after the other; never raises for what it finds."""
    checks: list[Check] = []
    if store is not None:
        checks.append(await _check("store", lambda: _check_store(store)))
    if database is not None:
        checks.append(await _check("database", lambda: _check_database(database)))
    if vault is not None:
        checks.append(await _check("vault", lambda: _check_vault(vault)))
    return checks


async def _check(
    part: Literal["store", "database", "vault"], ask: Callable[[], Awaitable[tuple[list[str], str]]]
) -> Check:
    try:
        missing, detail = await ask()
    except KleidiaError as exc:
        return Check(part, ok=False, detail=exc.message, hint=exc.hint)
    return Check(part, ok=not missing, missing=tuple(missing), detail=detail)


async def _check_store(store: Store) -> tuple[list[str], str]:
    async with open_store(store) as target:
        return list(await target.check()), f"archives go under {target.prefix or '(no prefix)'}"


async def _check_database(settings: PostgresSettings) -> tuple[list[str], str]:
    from ..stages.pg.preflight import check_backup

    tool, facts = await check_backup(settings)
    return [], f"PostgreSQL {facts.server}, database {facts.database}, role {facts.role}, {tool}"


async def _check_vault(settings: VaultSettings) -> tuple[list[str], str]:
    from ..stages.vault.check import check_vault
    from ..stages.vault.client import VaultClient

    async with VaultClient(settings) as client:
        missing = await check_vault(client, settings.roots, restore=False)
        for_restore = await check_vault(client, settings.roots, restore=True, undo=True)
        missing += [right for right in for_restore if right not in missing]
    return list(missing), f"{settings.address}, {count(len(settings.roots), 'root')}"


def _type_of(name: str) -> str:
    match = ARCHIVE_NAME.fullmatch(name, max(0, name.rfind("backup-")))
    return match[1] if match else ""
