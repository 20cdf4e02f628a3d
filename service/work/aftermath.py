"""What follows a backup that succeeded: a look at its size, and the deletion of archives that became too old.

After an archive that is suspiciously small nothing is deleted.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ...stages.errors import KleidiaError
from .retention import apply_retention, shrink_warning

if TYPE_CHECKING:
    from ...pipeline.report import BackupReport
    from ..control.audit import Audit
    from ..control.jobs import Job, Jobs
    from ..control.settings import SettingsStore


async def follow_up(
    job: Job, report: BackupReport, *, jobs: Jobs, settings: SettingsStore, audit: Audit, log: Any
) -> list[str]:
    """Warnings for the job. Whatever goes wrong here is one: the backup is made. Raises nothing."""
    warnings: list[str] = []
    try:
        last = await jobs.last_backup(job.backup_type, job.id)
        if (shrunk := shrink_warning(report.backup_type, report.size, last.size if last else None)) is not None:
            return [shrunk]  # the older archives may be the only ones that have what is missing in this one
        wanted = await settings.current()
        warnings += await apply_retention(
            await settings.store(),
            audit,
            now=datetime.now(UTC),
            days=wanted.retention_days,
            keep=wanted.keep_at_least,
            newest=report.name,
            job_id=job.id,
        )
    except KleidiaError as exc:
        warnings.append(f"Retention did not take place: {exc.message}")
    except Exception as exc:
        log.exception("what follows a backup failed in a way nobody expected")
        warnings.append(f"Retention did not take place: {type(exc).__name__}.")
    return warnings
