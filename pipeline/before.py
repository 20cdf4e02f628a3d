"""A backup of what is there, before a restore overwrites it."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..stages.errors import KleidiaError
from .archives.listing import BEFORE
from .backup import run_backup

if TYPE_CHECKING:
    from ..stages.pg.server.settings import PostgresSettings
    from ..stages.vault.kv.settings import VaultSettings
    from .job import Logger
    from .parts.choice import Targets
    from .parts.request import BackupRequest, RestoreRequest
    from .reports.jobs import BackupReport, OnProgress


async def back_up_first(
    request: RestoreRequest, parts: Targets, absent: bool, on_progress: OnProgress, log: Logger | None
) -> BackupReport | None:
    """Back up the places that the restore will write to; None when that is not asked for, or nothing is there.

    Its name begins with ``backup-before-restore-``: it is never ``latest``, and retention leaves it alone. Raises as
    ``backup`` does, with the effect ``nothing``: the restore must not begin then.
    """
    wanted = request.backup_first
    if wanted is None:
        return None
    database = request.database if parts.database.used and not absent else None
    vault = request.vault if parts.vault.used else None
    return await back_up(wanted, database, vault, on_progress, log)


async def back_up(
    wanted: BackupRequest,
    database: PostgresSettings | None,
    vault: VaultSettings | None,
    on_progress: OnProgress,
    log: Logger | None,
) -> BackupReport | None:
    """Back up these places, as ``wanted`` says; None when there are none. Named and raising as ``back_up_first``."""
    if database is None and vault is None:
        return None
    name = f"{BEFORE}{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}.enc"
    jobs = wanted.database.jobs if wanted.database is not None else 1
    if database is not None:
        database = replace(database, jobs=jobs)
    if vault is not None and wanted.vault is not None:
        vault = replace(vault, versions=wanted.vault.versions)
    if vault is not None:  # what a restore fills may be empty
        vault = replace(vault, roots=tuple(replace(root, allow_empty=True) for root in vault.roots))
    try:
        return await run_backup(replace(wanted, database=database, vault=vault, name=name), on_progress, log)
    except KleidiaError as exc:
        exc.effect = "nothing"
        exc.hint = f"This was the backup before the restore, which did not begin. {exc.hint}".rstrip()
        raise
