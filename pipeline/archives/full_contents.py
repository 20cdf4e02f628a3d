"""All that an archive holds, by name: of format V2 statements and index are read, of format V1 everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ...stages.extract.choose import Choose
from ...stages.pg.outline import Outline
from ...stages.pg.survey import SqlFacts, copied
from ..engine import drain
from ..job import JOB_TIMEOUT, Job, within
from ..parts.keys import NO_KEYS, Keys, check_reading
from ..reports.contents import FullContents, TableListing
from .opening import opened_archive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...formats.secret import Secret
    from ...formats.v2.entries import Entry
    from ...stages.pg.server.settings import Table
    from ...stages.stores.base import StoreSettings
    from ..engine import Inlet, Outlet
    from ..reports.jobs import OnProgress
    from .reading import OpenArchive

#: Most paths of secrets that are listed; the others are counted.
MOST_PATHS = 200_000


class SecretPaths(Choose):
    """Keeps the paths of secrets, the first ``MOST_PATHS``: by an index that lists them, else as they pass."""

    name = "paths"

    def __init__(self) -> None:
        super().__init__(("*",))
        self.paths: list[str] = []
        self.left_out = 0

    def see(self, number: int, entry: Entry) -> None:
        """Look at a chunk's line of an index."""
        if entry.k == "kv" and entry.paths is not msgspec.UNSET:
            self._keep(entry.paths)
        elif entry.k == "kv":
            self.chunks.append(number)

    def check_index(self) -> None:
        """There is nothing that must be there."""

    async def __call__(self, secrets: Inlet[Secret], out: Outlet[Secret]) -> None:
        """Let all pass."""
        while batch := await secrets.batch():
            self._keep([secret.path for secret in batch])
            await out.send_together(batch)

    def _keep(self, paths: Sequence[str]) -> None:
        kept = paths[: MOST_PATHS - len(self.paths)]
        self.paths += kept
        self.left_out += len(paths) - len(kept)


async def full_contents(
    name: str,
    *,
    store: StoreSettings,
    password: str | None = None,
    keys: Keys = NO_KEYS,
    secrets: bool = False,
    on_progress: OnProgress = None,
    timeout: float = JOB_TIMEOUT,  # noqa: ASYNC109 - a limit for the job, with an error of its own
) -> FullContents:
    """Say what an archive holds: tables with rows and bytes, kinds of objects, extensions, roles, paths of secrets.

    Of format V2 the index and the statements are read, no rows, and of secrets those whose paths (``secrets``) it does
    not list. Of
    format V1 everything is read, and nothing said before its end was reached and its tag compared. No value of a
    secret is kept. Who signed the archive is not asked.

    Raises ``WrongPassword``, ``DamagedArchive`` and the rest of the tree in ``kleidia_backup.stages.errors``.
    Format V2's page, sections 7 and 8.
    """
    check_reading(password, keys)
    job = Job(on_progress, None)

    async def work() -> FullContents:
        outline, paths = Outline(), SecretPaths()
        async with opened_archive(job, store, name, password, keys, paths if secrets else None) as archive:
            if archive.index is None:
                verified = await archive.look(job, drain, sql=outline)
                found = verified.secrets
            else:
                verified = await archive.look(job, drain, sql=outline, only="database")
                found = archive.index.end.secrets
                if paths.chunks:
                    await archive.look(job, drain, only="vault")
            return FullContents(
                name=archive.info.name,
                size=archive.info.size,
                header=archive.header,
                tables=tuple(_tables(archive, verified.facts, outline)),
                rows=verified.rows,
                sql_bytes=verified.sql_bytes,
                kinds=dict(sorted(outline.kinds.items())),
                extensions=tuple(sorted(verified.facts.extensions)),
                schemas=tuple(sorted(verified.facts.schemas)),
                roles=tuple(sorted(verified.facts.roles)),
                secrets=found,
                secret_paths=tuple(sorted(paths.paths)) if secrets else None,
                paths_left_out=paths.left_out,
                truncated=verified.facts.truncated,
                seconds=job.finish(),
            )

    return await within(timeout, work, job)


def _tables(archive: OpenArchive, facts: SqlFacts, outline: Outline) -> list[TableListing]:
    size: dict[Table, int] = {table: measured.bytes for table, measured in outline.tables.items()}
    for line in archive.index.copies if archive.index else ():
        if (table := copied(line.copy.encode())) is not None:
            size[table] = size.get(table, 0) + line.bytes
    everything = sorted(facts.tables | facts.rows.keys(), key=lambda table: (table.schema, table.name))
    return [
        TableListing(name=f"{table.schema}.{table.name}".lstrip("."), rows=facts.rows.get(table), bytes=size.get(table))
        for table in everything
    ]
