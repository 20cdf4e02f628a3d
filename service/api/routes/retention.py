"""Which archives are kept: pins, and what retention would do."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from fastapi import Path, Query, status

from ....pipeline.archives import actions as archives
from ....pipeline.archives.opening import full_name
from ....pipeline.retention.pins import pinned_archives, pins_of
from ....pipeline.retention.plan import plan
from ....stages.errors import ConfigurationError, ObjectMissing
from ...control.audit import AuditEntry
from ...control.backup_settings import changed
from ...work.retention import own_archives, proven_in
from .. import models, rates
from ..bodies import keeping
from ..identity.callers import MayPin
from .shared import Admin, TheService, Viewer, archive_of, problems, router_of, unusable

router = router_of("/api/backup", "retention")

Key = Annotated[
    models.Key,
    Path(description="The archive's name, slashes and all; `latest` is the newest.", examples=["backups/backup.enc"]),
]


@router.get("/pins", responses=problems(409, 502))
async def list_pins(service: TheService, _: Viewer) -> keeping.Pins:
    """The archives that are pinned, why, by whom and since when."""
    async with (await service.settings.store()).open() as store:
        found = await pins_of(store, await pinned_archives(store))
    return keeping.Pins(pins=[keeping.Pin.of(each) for each in found])


@router.post("/pins/{key:path}", responses=problems(404, 409, 502))
async def pin(service: TheService, caller: MayPin, key: Key, wanted: keeping.Pinning | None = None) -> keeping.Pin:
    """Keep an archive: retention leaves it alone, and nobody deletes it here. One that is pinned keeps its pin.

    Where the store can lock objects, it is put on legal hold as well. Audited.
    """
    store, name = await archive_of(service, key)
    reason = wanted.reason if wanted else ""
    made = await archives.pin(name, store, reason=reason, by=caller.principal.name or caller.principal.subject)
    await service.audit.write(AuditEntry.by(caller.actor, "archive.pinned", archive=name, details=reason))
    return keeping.Pin.of(made)


@router.delete("/pins/{key:path}", status_code=status.HTTP_204_NO_CONTENT, responses=problems(404, 409, 502))
async def unpin(service: TheService, caller: MayPin, key: Key) -> None:
    """Leave an archive to retention again. Audited."""
    store, name = await archive_of(service, key)
    if not await archives.unpin(name, store):
        raise ObjectMissing(f"{name} has no pin.", hint="GET /api/backup/pins shows those that there are.")
    await service.audit.write(AuditEntry.by(caller.actor, "archive.unpinned", archive=name))


@router.get("/retention/preview", responses=problems(409, 429, 502))
async def preview_retention(
    service: TheService, caller: Admin, rules: Annotated[keeping.WantedRules, Query()]
) -> keeping.RetentionPreview:
    """What retention would delete now, and why each other archive stays: by the settings, or by rules to try.

    An administrator's: archives that no job has recorded are opened, 50 at most.
    """
    await rates.take(service, "preview-retention", caller)
    try:
        wanted = changed(await service.settings.current(), rules.model_dump(exclude_none=True))
    except ConfigurationError as exc:
        raise unusable(exc) from None
    settings = await service.settings.store()
    running = await service.jobs.running()
    async with settings.open() as store:
        made = await plan(
            store,
            wanted.rules,
            datetime.now(UTC),
            own_archives(service.jobs, service.settings, service.config.keys),
            proven=partial(proven_in, service.verifications),
            in_use={full_name(settings, job.archive) for job in running if job.archive},
        )
    return keeping.RetentionPreview.of(made, wanted)
