"""What is different between two archives, or between an archive and what there is now."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from ...stages.errors import ConfigurationError
from ..archives.opening import opened_archive
from ..engine import in_thread
from ..job import JOB_TIMEOUT, Job, within
from ..parts.keys import NO_KEYS, Keys, check_reading
from ..reports.diff import DiffReport
from .compare import compare
from .live import add_database, add_vault
from .sides import Side, archive_side

if TYPE_CHECKING:
    from ...formats.facts import Facts
    from ...stages.pg.server.settings import PostgresSettings
    from ...stages.stores.base import StoreSettings
    from ...stages.vault.kv.settings import VaultSettings
    from ..parts.names import PartName
    from ..reports.jobs import OnProgress

#: What the live side is called.
LIVE = "now"


async def diff(
    name: str,
    other: str | None = None,
    *,
    store: StoreSettings,
    database: PostgresSettings | None = None,
    vault: VaultSettings | None = None,
    password: str | None = None,
    keys: Keys = NO_KEYS,
    on_progress: OnProgress = None,
    timeout: float = JOB_TIMEOUT,  # noqa: ASYNC109 - a limit for the job, with an error of its own
) -> DiffReport:
    """Say what is different from an archive to the ``other``, or without one to the ``database`` and ``vault`` now.

    Formats may be mixed; both archives are opened by the same password or keys. Compared are the parts that both sides
    have: tables by the number of their rows (and by SHA-256 over them, where both sides are archives that have it),
    schemas by their statements, secrets by an HMAC of path and meaning under a random key of this run, of which nothing
    is shown or stored. Nothing is written.

    Raises ``ConfigurationError`` when both sides have no part in common, or more secrets than are compared;
    ``WrongPassword``, ``DamagedArchive`` and the rest of the tree in ``kleidia_backup.stages.errors``.
    """
    check_reading(password, keys)
    job = Job(on_progress, None)
    key = os.urandom(32)

    async def work() -> DiffReport:
        async with AsyncExitStack() as stack:
            archives = [
                await stack.enter_async_context(opened_archive(job, store, each, password, keys))
                for each in (name, *([other] if other is not None else []))
            ]
            headers = [archive.header for archive in archives]
            live = {"database": database is not None, "vault": vault is not None}
            parts = _common(headers, live if other is None else None)
            only = None if len(parts) == 2 else parts[0]
            sides = [await archive_side(job, archive, key, only) for archive in archives]
            if other is None:
                sides.append(await _live(job, parts, database, vault, headers[0], key, sides[0], timeout))
            for side in sides:
                _keep(side, parts)
            found = await in_thread(compare, sides[0], sides[1])
            return DiffReport(old=sides[0].name, new=sides[1].name, compared=parts, seconds=job.finish(), **found)

    return await within(timeout, work, job)


async def _live(
    job: Job,
    parts: tuple[PartName, ...],
    database: PostgresSettings | None,
    vault: VaultSettings | None,
    header: Facts,
    key: bytes,
    old: Side,
    timeout: float,  # noqa: ASYNC109 - for each question to the database
) -> Side:
    side = Side(LIVE)
    job.begin("prepare")
    if database is not None and "database" in parts:
        await add_database(job, side, database, include_audit=header.includes_audit, limit=timeout)
    if vault is not None and "vault" in parts:
        await add_vault(job, side, vault, key, old)
    return side


def _common(headers: list[Facts], live: dict[str, bool] | None) -> tuple[PartName, ...]:
    """The parts that both sides have. Raises ``ConfigurationError`` for none."""
    found: list[PartName] = []
    if all(header.includes_db for header in headers) and (live is None or live["database"]):
        found.append("database")
    if all(header.includes_kv for header in headers) and (live is None or live["vault"]):
        found.append("vault")
    if not found:
        types = " and ".join(header.backup_type for header in headers)
        raise ConfigurationError(
            f"There is nothing to compare: both sides have no part in common (the archives are of type {types}).",
            hint="Choose another archive, or configure [database] or [vault].",
            effect="nothing",
        )
    return tuple(found)


def _keep(side: Side, parts: tuple[PartName, ...]) -> None:
    """Drop what only one side has: an archive of format V1 is read as a whole."""
    if "database" not in parts:
        side.outline, side.tables = None, {}
    if "vault" not in parts:
        side.secrets = {}
