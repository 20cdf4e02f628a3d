"""Restoring, and what comes before and after it."""

from typing import Any, Literal

from fastapi import Request, Response, status

from ....pipeline.archives import actions as archives
from ....pipeline.parts.elsewhere import check_places
from ....pipeline.verify import verify_password
from ....stages.errors import ArchiveError, ConfigurationError, NotAnArchive, UnsupportedArchive, WrongPassword
from ...control.audit import AuditEntry
from ...work.restoring import places_of
from ...work.undo.ending import DISMISS, UNDO
from .. import combinations, models, rates
from ..identity.callers import MayRestore, MayUndo, MayValidatePassword
from .shared import (
    TheService,
    Viewer,
    address,
    archive_of,
    located,
    new_job,
    polled,
    problems,
    router_of,
    submit,
    unusable,
)

router = router_of("/api/backup/restore", "restores")


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    responses={202: located("The job", "Where the job is told of."), **problems(404, 409, 429, 502)},
)
async def restore(
    request: Request, response: Response, service: TheService, caller: MayRestore, wanted: models.Restore
) -> models.JobView:
    """Start a restore: it overwrites what is there. The archive is verified to its end before that.

    What `fresh` asks for is made before the archive is verified.

    What is there is backed up first, unless `backup_first` is false; `report.backup` of the job names that archive.

    A wrong password fails the job. It is kept in the vault until the job starts, and nowhere else.

    `tables` or `secrets` choose what is restored, and all else stays; one that the archive does not have fails the job,
    whose error or `next_step` has the nearest names.
    """
    combinations.check(wanted)
    await rates.take(service, "restore", caller)
    store, name = await archive_of(service, wanted.key, wanted.as_of, wanted.from_copy)
    info, preamble = await archives.inspect(name, store)
    job = new_job(
        caller,
        kind="restore",
        backup_type=preamble.header.backup_type,
        archive=info.name,
        options=options_of(service, wanted),
    )
    password = None if wanted.password is None else wanted.password.get_secret_value()
    made = await submit(request, service, job, password=password)
    response.headers["Location"] = address(request, f"/api/backup/jobs/{made.id}")
    return made


def options_of(service: TheService, wanted: models.Restore) -> dict[str, Any]:
    """What the job's row says of it. Raises ``ApiError`` for places that cannot be meant."""
    options: dict[str, Any] = {"only": wanted.only, "prune": wanted.prune, "search_path": wanted.search_path}
    options |= {"from_other_system": wanted.from_other_system, "secrets": wanted.secrets, "to": wanted.to}
    options |= {"into_database": wanted.into_database or "", "into_mount": wanted.into_mount or ""}
    options |= {"create": wanted.create_database, "backup_first": wanted.backup_first}
    options |= {"fresh": wanted.fresh, "policies": wanted.policies}
    if wanted.reason is not None:
        options["reason"] = wanted.reason
    if wanted.as_of is not None:
        options["as_of"] = wanted.as_of.isoformat()
    if wanted.from_copy is not None:
        options["from_copy"] = wanted.from_copy
    if wanted.tables:
        options |= {"tables": wanted.tables, "as": wanted.copy_as}
    if wanted.copy_as:  # which overwrites nothing
        del options["backup_first"]
    config = service.config
    try:
        check_places(config.database, config.vault, **places_of(options))
    except ConfigurationError as exc:
        raise unusable(exc) from None
    return options


@router.post(
    "/undo",
    status_code=status.HTTP_202_ACCEPTED,
    responses={202: located("The job", "Where the job is told of."), **problems(409, 429)},
)
async def undo_restore(request: Request, response: Response, service: TheService, caller: MayUndo) -> models.JobView:
    """Put back the secrets that a restore wrote which ended in the middle; what was not put back is in `report.left`.

    The journal of a restore is in the state directory of the replica that ran it. Where replicas share none, the job
    waits for one that has it; if none does, it fails and says where the journal is.
    """
    return await _end(request, response, service, caller, UNDO)


@router.post(
    "/dismiss",
    status_code=status.HTTP_202_ACCEPTED,
    responses={202: located("The job", "Where the job is told of."), **problems(409, 429)},
)
async def dismiss_restore(request: Request, response: Response, service: TheService, caller: MayUndo) -> models.JobView:
    """Forget a restore that ended in the middle; what it wrote stays. As `undo`, and also where no replica has it."""
    return await _end(request, response, service, caller, DISMISS)


async def _end(request: Request, response: Response, service: TheService, caller: MayUndo, how: str) -> models.JobView:
    await rates.take(service, "restore", caller)
    made = await submit(request, service, new_job(caller, kind="restore", backup_type="full", options={how: True}))
    response.headers["Location"] = address(request, f"/api/backup/jobs/{made.id}")
    return made


@router.post("/validate-password", responses=problems(404, 409, 429, 502))
async def validate_password(
    request: Request, service: TheService, caller: MayValidatePassword, candidate: models.Candidate
) -> models.Validation:
    """Say in about a second whether a password opens an archive. Refused ones are audited.

    A wrong password is an answer, not an error: 200 with `valid: false`.
    """
    service.settings.check_requests_password()
    await rates.take(service, "validate-password", caller)
    store, name = await archive_of(service, candidate.key)
    try:
        async with request.app.state.deriving:  # one at a time: each takes 64 MiB
            await verify_password(name, store=store, password=candidate.password.get_secret_value())
    except NotAnArchive:
        raise
    except ArchiveError as exc:
        reason: Literal["wrong_password", "damaged", "unsupported"] = "damaged"
        if isinstance(exc, WrongPassword):
            reason = "wrong_password"
            await service.audit.write(
                AuditEntry.by(caller.actor, "password.refused", archive=name, details=exc.message)
            )
        elif isinstance(exc, UnsupportedArchive):
            reason = "unsupported"
        return models.Validation(valid=False, reason=reason, detail=exc.message, next_step=exc.hint)
    return models.Validation(valid=True, reason="", detail="The password opens the archive.", next_step="")


@router.get("/status", responses=problems())
@polled
async def restore_status(service: TheService, _: Viewer) -> models.RestoreStatus:
    """The restore that waits or runs, else the last one; and restores that ended in the middle, on any replica."""
    found = await service.jobs.page(limit=1, kind="restore")
    rows = await service.unfinished.of(service.target)
    return models.RestoreStatus(
        running=any(job.active for job in found),
        job=models.JobView.of(found[0]) if found else None,
        unfinished=[
            models.UnfinishedView(
                archive=row.archive,
                job=row.job_id,
                detail=row.message,
                replica=row.replica,
                journal=row.journal,
                reachable=row.here,
            )
            for row in rows
        ],
    )
