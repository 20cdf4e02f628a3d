"""Restoring, and what comes before and after it."""

from typing import Literal

from fastapi import Request, Response, status

from ...pipeline import archives
from ...pipeline.opening import full_name
from ...pipeline.verify import verify_password
from ...stages.errors import ArchiveError, NotAnArchive, UnsupportedArchive, WrongPassword
from ..control.audit import AuditEntry
from . import models, rates
from .backup_routes import new_job, store_of, submit
from .shared import Admin, TheService, Viewer, address, located, problems, router_of

router = router_of("/api/backup/restore", "restores")


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    responses={202: located("The job", "Where the job is told of."), **problems(404, 409, 429, 502)},
)
async def restore(
    request: Request, response: Response, service: TheService, caller: Admin, wanted: models.Restore
) -> models.JobView:
    """Start a restore: it overwrites what is there. The archive is verified to its end before anything is written.

    A wrong password fails the job. It is kept in the vault until the job starts, and nowhere else.
    """
    await rates.take(service, "restore", caller)
    info, preamble = await archives.inspect(wanted.key, await store_of(service, wanted.key))
    job = new_job(
        caller,
        kind="restore",
        backup_type=preamble.header.backup_type,
        archive=info.name,
        options={"only": wanted.only, "prune": wanted.prune},
    )
    password = None if wanted.password is None else wanted.password.get_secret_value()
    made = await submit(request, service, job, password=password)
    response.headers["Location"] = address(request, f"/api/backup/jobs/{made.id}")
    return made


@router.post("/validate-password", responses=problems(404, 409, 429, 502))
async def validate_password(
    request: Request, service: TheService, caller: Admin, candidate: models.Candidate
) -> models.Validation:
    """Say in about a second whether a password opens an archive. Refused ones are audited.

    A wrong password is an answer, not an error: 200 with `valid: false`.
    """
    await rates.take(service, "validate-password", caller)
    store = await store_of(service, candidate.key)
    try:
        async with request.app.state.deriving:  # one at a time: each takes 64 MiB
            await verify_password(candidate.key, store=store, password=candidate.password.get_secret_value())
    except NotAnArchive:
        raise
    except ArchiveError as exc:
        reason: Literal["wrong_password", "damaged", "unsupported"] = "damaged"
        if isinstance(exc, WrongPassword):
            reason = "wrong_password"
            await service.audit.write(
                AuditEntry.by(
                    caller.actor, "password.refused", archive=full_name(store, candidate.key), details=exc.message
                )
            )
        elif isinstance(exc, UnsupportedArchive):
            reason = "unsupported"
        return models.Validation(valid=False, reason=reason, detail=exc.message, next_step=exc.hint)
    return models.Validation(valid=True, reason="", detail="The password opens the archive.", next_step="")


@router.get("/status", responses=problems())
async def restore_status(service: TheService, _: Viewer) -> models.RestoreStatus:
    """The restore that waits or runs, else the last one."""
    found = await service.jobs.list(limit=1, kind="restore")
    return models.RestoreStatus(
        running=any(job.active for job in found), job=models.JobView.of(found[0]) if found else None
    )
