"""Taking backups, and what is done with archives."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path, Query, Request, Response, status

from ...pipeline import archives
from ...pipeline.opening import full_name
from ...stages.errors import Busy, ConfigurationError, ObjectMissing
from ..control.audit import AuditEntry
from ..control.jobs import NewJob
from ..settings import StoreSettings
from . import models, rates
from .auth import Caller
from .problems import ApiError
from .shared import MOST, PAGE, Admin, Limit, TheService, Viewer, address, located, problems, router_of

router = router_of("/api/backup", "backups")

Key = Annotated[models.Key, Path(description="The archive's name, slashes and all.", examples=["backups/backup.enc"])]


@router.post(
    "/trigger",
    status_code=status.HTTP_202_ACCEPTED,
    responses={202: located("The job", "Where the job is told of."), **problems(409)},
)
async def trigger(
    request: Request, response: Response, service: TheService, caller: Admin, wanted: models.Trigger | None = None
) -> models.JobView:
    """Start a backup; without a body a full one."""
    kind = (wanted or models.Trigger()).type
    job = await submit(request, service, new_job(caller, kind="backup", backup_type=kind))
    response.headers["Location"] = address(request, f"/api/backup/jobs/{job.id}")
    return job


@router.get("/list", responses=problems(409, 502))
async def list_backups(
    service: TheService,
    _: Viewer,
    limit: Limit = PAGE,
    offset: Annotated[int, Query(ge=0, le=MOST, description="How many to pass over.")] = 0,
) -> models.Backups:
    """The archives in the store, newest first, 1,000 at most."""
    found = await archives.list_archives(await service.settings.store(), limit=MOST)
    page = [models.Backup.of(each) for each in found[offset : offset + limit]]
    return models.Backups(backups=page, total=len(found), limit=limit, offset=offset)


@router.get("/test-connection", responses=problems(409, 429, 502))
async def test_connection(service: TheService, caller: Admin) -> models.Connections:
    """Try every right that backups need on the store that is configured. An administrator's: it writes a probe."""
    await rates.take(service, "test-connection", caller)
    return await _try(await service.settings.store())


@router.post("/test-connection", responses=problems(409, 429, 502))
async def test_candidate(service: TheService, caller: Admin, candidate: models.S3Candidate) -> models.Connections:
    """Try the S3 settings of the request before they are saved; what it leaves out is as it is configured."""
    await rates.take(service, "test-connection", caller)
    try:
        tried = await service.settings.trial(models.plain(candidate))
    except ConfigurationError as exc:
        raise unusable(exc) from None
    return await _try(tried)


@router.get("/download/{key:path}", responses=problems(404, 409, 502))
async def download(service: TheService, caller: Admin, key: Key) -> models.Download:
    """A URL with which anybody can fetch the encrypted archive for an hour. Audited; an administrator's right."""
    expires_at = datetime.now(UTC) + archives.URL_EXPIRES
    store = await store_of(service, key)
    url = await archives.presign(key, store)
    await service.audit.write(AuditEntry.by(caller.actor, "archive.downloaded", archive=full_name(store, key)))
    return models.Download(url=url, expires_at=expires_at)


@router.delete("/{key:path}", status_code=status.HTTP_204_NO_CONTENT, responses=problems(404, 409, 502))
async def delete(service: TheService, caller: Admin, key: Key) -> None:
    """Delete an archive for good. Audited."""
    store = await store_of(service, key)
    name = full_name(store, key)
    for job in await service.jobs.running():
        if job.archive and full_name(store, job.archive) == name:
            raise Busy(f"Job {job.id} uses this archive.", hint="Wait until it ended, or cancel it.")
    await archives.delete(key, store)
    await service.audit.write(AuditEntry.by(caller.actor, "archive.deleted", archive=name))


async def store_of(service: TheService, key: str) -> StoreSettings:
    """The store, when it may have an archive of that name at all."""
    if any(part in {"", ".", ".."} for part in key.split("/")):
        raise ObjectMissing("No archive has such a name.", hint="GET /api/backup/list shows the archives.")
    return await service.settings.store()


async def _try(store: StoreSettings) -> models.Connections:
    checks = [
        models.Connection(
            part=check.part, ok=check.ok, missing=list(check.missing), detail=check.detail, next_step=check.hint
        )
        for check in await archives.check_connections(store=store)
    ]
    return models.Connections(ok=all(check.ok for check in checks), checks=checks)


def new_job(caller: Caller, **values: Any) -> NewJob:
    """A job that a caller asks for."""
    return NewJob(
        requested_by=caller.principal.subject,
        requested_by_name=caller.principal.name,
        ip=caller.ip,
        workstation=caller.workstation,
        **values,
    )


async def submit(request: Request, service: TheService, new: NewJob, **more: Any) -> models.JobView:
    """Start a job; a conflict names the job that runs."""
    try:
        return models.JobView.of(await service.submit(new, **more))
    except Busy as exc:
        running = await service.jobs.running()
        shown = {"job": models.JobView.of(running[0]).model_dump(mode="json")} if running else {}
        headers = {"Location": address(request, f"/api/backup/jobs/{running[0].id}")} if running else {}
        title = "Another job holds the same target"
        raise ApiError(409, "busy", title, exc.message, exc.hint, headers=headers, **shown) from None


def unusable(error: ConfigurationError) -> ApiError:
    """Settings in a request that cannot work."""
    return ApiError(422, "invalid", "A part of the request cannot be used", error.message, error.hint)
