"""After a backup that succeeded: have it copied, compare its size with the last one, delete archives that are too old.

After an archive that is suspiciously small nothing is deleted.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ...pipeline.archives.opening import full_name
from ...stages.errors import KleidiaError
from .retention import apply_retention, own_archives, proven_in, shrink_warning

if TYPE_CHECKING:
    from ...pipeline.parts.keys import Keys
    from ...pipeline.reports.jobs import BackupReport
    from ..control.audit import Audit
    from ..control.copies.runs import CopyRuns
    from ..control.jobs import Job, Jobs
    from ..control.proofs.verifications import Verifications
    from ..control.settings import SettingsStore


async def follow_up(
    job: Job,
    report: BackupReport,
    *,
    jobs: Jobs,
    settings: SettingsStore,
    verifications: Verifications,
    keys: Keys,
    audit: Audit,
    copies: CopyRuns,
    log: Any,
) -> list[str]:
    """Warnings for the job, failures here among them: the backup is made. Raises nothing."""
    warnings = await _copies(copies)
    try:
        last = await jobs.last_backup(job.backup_type, job.id)
        if (shrunk := shrink_warning(report.backup_type, report.size, last.size if last else None)) is not None:
            return [*warnings, shrunk]  # the older archives may be the only ones that have what is missing in this one
        wanted, store = await settings.current(), await settings.store()
        warnings += await apply_retention(
            store,
            audit,
            now=datetime.now(UTC),
            rules=wanted.rules,
            newest=report.name,
            own=own_archives(jobs, settings, keys),
            proven=partial(proven_in, verifications),
            in_use=[full_name(store, each.archive) for each in await jobs.running() if each.archive],
            job_id=job.id,
        )
    except KleidiaError as exc:
        warnings.append(f"Retention did not take place: {exc.message}")
    except Exception as exc:
        log.exception("what follows a backup failed in a way nobody expected")
        warnings.append(f"Retention did not take place: {type(exc).__name__}.")
    return warnings


async def _copies(copies: CopyRuns) -> list[str]:
    """Have the archive copied, which is no part of the job; a warning about each copy that is not as it should be."""
    try:
        await copies.wake()
        found = [each for each in await copies.all() if each.error]
    except KleidiaError as exc:
        return [f"The copies were not looked at: {exc.message}"]
    return [f"The copy {each.copy} is not filled: {each.error}" for each in found]
