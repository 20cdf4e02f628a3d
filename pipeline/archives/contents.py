"""The contents of an archive by its index: tables, rows, sizes, secrets, for kilobytes of reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...stages.errors import ConfigurationError
from ...stages.pg.survey import copied
from ..engine import in_thread
from ..job import JOB_TIMEOUT, Job, within
from ..parts.keys import NO_KEYS, Keys, check_reading
from ..reports.contents import ArchiveContents, TableContents
from .opening import opened_archive

if TYPE_CHECKING:
    from ...formats.v2.index import Index
    from ...stages.stores.base import StoreSettings
    from .reading import OpenArchive


#: The first version of the format that has an index.
INDEXED = 2


async def contents(
    name: str,
    *,
    store: StoreSettings,
    password: str | None = None,
    keys: Keys = NO_KEYS,
    timeout: float = JOB_TIMEOUT,  # noqa: ASYNC109 - a limit for the job, with an error of its own
) -> ArchiveContents:
    """Say what an archive of format V2 holds: its head and its index are read, and nothing else.

    Raises ``ConfigurationError`` for an archive of format V1, which has no index, ``WrongPassword``,
    ``DamagedArchive`` and the rest of the tree in ``kleidia_backup.stages.errors``. Format V2's page, section 8.
    """
    check_reading(password, keys)
    job = Job(None, None)

    async def work() -> ArchiveContents:
        async with opened_archive(job, store, name, password, keys) as archive:
            if archive.index is None:
                raise no_index(archive.info.name)
            return await in_thread(_listed, archive, archive.index)

    return await within(timeout, work, job)


def no_index(name: str) -> ConfigurationError:
    """The error for an archive of which nothing can be said without reading all of it."""
    return ConfigurationError(
        f"{name} is of format V1, which has no list of its contents.",
        hint="`kleidia-backup verify` and `restore --dry-run` read all of it and say what it holds; `convert` makes an "
        "archive of format V2 of it.",
    )


def _table(statement: str) -> str:
    table = copied(statement.encode())
    return statement if table is None else f"{table.schema}.{table.name}".lstrip(".")


def _listed(archive: OpenArchive, index: Index) -> ArchiveContents:
    sql = [entry for entry in index.entries if entry.k != "kv"]
    secrets = [entry for entry in index.entries if entry.k == "kv"]
    return ArchiveContents(
        name=archive.info.name,
        size=archive.info.size,
        header=archive.header,
        tables=tuple(TableContents(name=_table(line.copy), rows=line.rows, bytes=line.bytes) for line in index.copies),
        rows=index.end.rows,
        sql_bytes=index.end.sql_bytes,
        sql_stored=sum(entry.n for entry in sql),
        secrets=index.end.secrets,
        secrets_bytes=sum(entry.raw for entry in secrets),
        secrets_stored=sum(entry.n for entry in secrets),
        chunks=index.end.chunks,
    )
