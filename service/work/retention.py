"""Archives that became too old, deleted after a successful backup; and the alarm about one that shrank.

What goes, and what stays for which reason, ``pipeline/retention`` says, here as for the command.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING

import structlog

from ...pipeline.archives.listing import ArchiveInfo
from ...pipeline.retention.own import OwnArchives
from ...pipeline.retention.plan import because, carry_out, plan
from ...stages.errors import KleidiaError
from ..control.audit import SYSTEM, Actor, Audit, AuditEntry

if TYPE_CHECKING:
    from datetime import datetime

    from ...pipeline.parts.keys import Keys
    from ...pipeline.retention.plan import Own, Proven
    from ...pipeline.retention.rules import Aged, Rules
    from ...stages.stores.base import ObjectInfo, StoreSettings
    from ..control.jobs import Jobs
    from ..control.proofs.verifications import Verifications
    from ..control.settings import SettingsStore


def own_archives(jobs: Jobs, settings: SettingsStore, keys: Keys) -> OwnArchives:
    """Tells the archives of one target from others."""
    return OwnArchives(jobs.recorded, settings.password_if_set, keys)


async def proven_in(verifications: Verifications, infos: Sequence[ObjectInfo]) -> set[str]:
    """Which of these archives a drill brought back. Raises what ``Control.connection`` raises."""
    lines = [ArchiveInfo(info.name, info.size, info.modified, "", etag=info.etag) for info in infos]
    found = await verifications.recorded(lines)
    return {name for name, recorded in found.items() if recorded.proven is not None}


async def apply_retention(
    store: StoreSettings,
    audit: Audit,
    *,
    now: datetime,
    rules: Rules,
    newest: str,
    own: Own,
    proven: Proven | None = None,
    in_use: Collection[str] = (),
    job_id: int | None = None,
) -> list[str]:
    """Delete what the rules give up, each deletion audited as the system's; warnings about what did not work.

    ``newest`` is the full name of the archive that was just made.
    """
    if rules.days <= 0:
        return []
    try:
        async with store.open() as opened:
            made = await plan(opened, rules, now, own, newest=newest, proven=proven, in_use=in_use)
            return await carry_out(opened, made, partial(note, audit, SYSTEM, rules, job_id))
    except KleidiaError as exc:
        return [f"Retention did not take place: {exc.message}"]


async def note(audit: Audit, actor: Actor, rules: Rules, job_id: int | None, deleted: Aged, info: ObjectInfo) -> None:
    """Log and audit that an archive was deleted. Raises what ``Control.connection`` raises."""
    log = structlog.get_logger("kleidia_backup.retention")
    log.info("deleted", job=job_id, name=deleted.name, created_at=deleted.created_at.isoformat())
    await audit.write(
        AuditEntry.by(
            actor,
            "archive.deleted",
            job_id=job_id,
            archive=deleted.name,
            backup_type=deleted.backup_type,
            size=info.size,
            details=because(deleted, rules),
        )
    )


def has_shrunk(size: int, last_size: int) -> bool:
    """Whether an archive has less than half the bytes of the last one of its type."""
    return size * 2 < last_size


def shrink_warning(backup_type: str, size: int, last_size: int | None) -> str | None:
    """A warning when an archive has shrunk since the last successful one of its type; else None."""
    if not last_size or not has_shrunk(size, last_size):
        return None
    return (
        f"This {backup_type} archive has {size} bytes, less than half of the last one's {last_size}: "
        "check that nothing is missing in it. No older archive was deleted after this one, however old; the next one "
        "that is not that much smaller than this deletes again."
    )
