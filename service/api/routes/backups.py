"""Taking backups, and what is done with archives."""

import hashlib
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

import structlog
from fastapi import Header, Path, Query, Request, Response, status
from fastapi.responses import StreamingResponse

from ....pipeline.archives import actions as archives
from ....pipeline.archives.checks import Check, check_connections
from ....pipeline.archives.listing import page_of_archives
from ....pipeline.archives.opening import full_name
from ....pipeline.copies.deleting import delete_copies
from ....pipeline.retention.pins import pins_of
from ....stages.errors import Busy, ConfigurationError
from ....stages.stores.base import StoreSettings
from ....stages.stores.past import store_at
from ...control.audit import AuditEntry
from .. import models, ranges, rates
from ..bodies import setting_models
from ..identity.callers import MayBackup, MayDelete, MayDownload, MayTestConnection
from ..immutability import Allowed
from ..problems import ApiError
from .shared import (
    MOST,
    PAGE,
    AsOf,
    Limit,
    Offset,
    TheService,
    Viewer,
    address,
    archive_of,
    located,
    new_job,
    problems,
    router_of,
    submit,
    unusable,
)

router = router_of("/api/backup", "backups")

Key = Annotated[
    models.Key,
    Path(description="The archive's name, slashes and all; `latest` is the newest.", examples=["backups/backup.enc"]),
]


@router.post(
    "/trigger",
    status_code=status.HTTP_202_ACCEPTED,
    responses={202: located("The job", "Where the job is told of."), **problems(409)},
)
async def trigger(
    request: Request, response: Response, service: TheService, caller: MayBackup, wanted: models.Trigger | None = None
) -> models.JobView:
    """Start a backup; without a body a full one."""
    wanted = wanted or models.Trigger.model_validate({})
    options = {"format": wanted.format} if wanted.format else {}
    new = new_job(caller, kind="backup", backup_type=wanted.type, options=options)
    job = await submit(request, service, new)
    response.headers["Location"] = address(request, f"/api/backup/jobs/{job.id}")
    return job


@router.get("/list", responses=problems(409, 502))
async def list_backups(
    service: TheService,
    _: Viewer,
    limit: Limit = PAGE,
    offset: Offset = 0,
    as_of: AsOf = None,
) -> models.Backups:
    """The archives in the store, newest first, with what is recorded of each: a page from `offset` on.

    `next` is the offset of the page that follows.
    """
    store = store_at(await service.settings.store(), as_of)
    found = await page_of_archives(store, limit=limit, offset=offset, trusted=MOST)
    page = found.archives
    pins = {}
    if kept := [each.name for each in page if each.known.pinned]:
        async with store.open() as opened:
            pins = {pin.archive: pin for pin in await pins_of(opened, kept)}
    recorded = await service.verifications.recorded(page)
    prefix = store.prefix
    copies = await service.copy_states.of([each.name.removeprefix(prefix) for each in page])
    backups = [
        models.Backup.of(each, recorded[each.name], copies.get(each.name.removeprefix(prefix), ()), pins.get(each.name))
        for each in page
    ]
    return models.Backups(backups=backups, total=found.total, limit=limit, offset=offset, next=found.next)


@router.get("/test-connection", responses=problems(409, 429, 502))
async def test_connection(service: TheService, caller: MayTestConnection) -> models.Connections:
    """Try every right that backups need on the store that is configured. An administrator's: it writes a probe."""
    await rates.take(service, "test-connection", caller)
    return await _try(await service.settings.store())


@router.post("/test-connection", responses=problems(409, 429, 502))
async def test_candidate(
    service: TheService, caller: MayTestConnection, candidate: setting_models.S3Candidate
) -> models.Connections:
    """Try the S3 settings of the request before they are saved; what it leaves out is as it is configured."""
    await rates.take(service, "test-connection", caller)
    try:
        tried = await service.settings.trial(setting_models.plain(candidate))
    except ConfigurationError as exc:
        raise unusable(exc) from None
    return await _try(tried)


@router.get("/download/{key:path}", responses=problems(404, 409, 502))
async def download(service: TheService, caller: MayDownload, key: Key) -> models.Download:
    """A URL with which anybody can fetch the encrypted archive for an hour. Audited; an administrator's right."""
    expires_at = datetime.now(UTC) + archives.URL_EXPIRES
    store, name = await archive_of(service, key)
    url = await archives.presign(name, store)
    await service.audit.write(AuditEntry.by(caller.actor, "archive.downloaded", archive=name))
    return models.Download(url=url, expires_at=expires_at)


_CONTENT = {
    "description": "The archive, or the part of it that was asked for.",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}


@router.get(
    "/archive/{key:path}",
    responses={200: _CONTENT, 206: _CONTENT, **problems(404, 409, 416, 502)},
    response_class=Response,
)
async def get_archive(
    service: TheService,
    caller: MayDownload,
    key: Key,
    range_: Annotated[
        str | None, Header(alias="Range", description="One range of bytes.", examples=["bytes=0-99"])
    ] = None,
    if_range: Annotated[str | None, Header(alias="If-Range", description="The ETag of the part before.")] = None,
) -> Response:
    """The encrypted archive itself, for stores that have no URLs; `Range` and `If-Range` resume. Audited."""
    store, name = await archive_of(service, key)
    async with store.open() as opened:
        found = await opened.head(name)
    tag = f'"{hashlib.sha256(f"{found.etag} {found.size} {found.modified}".encode()).hexdigest()[:32]}"'
    try:
        wanted = ranges.asked(range_, found.size) if if_range in {None, tag} else None
    except ranges.Unsatisfiable:
        headers = {"Content-Range": f"bytes */{found.size}"}
        said, step = f"It has {found.size} bytes.", "Ask for others, or for the whole archive."
        raise ApiError(416, "range", "The archive has no such bytes", said, step, headers=headers) from None
    start, end = wanted or (0, found.size)
    details = f"Bytes {start} to {end - 1} of {found.size}." if wanted else ""
    await service.audit.write(AuditEntry.by(caller.actor, "archive.downloaded", archive=name, details=details))

    async def content() -> AsyncIterator[bytes]:
        async with store.open() as opened, opened.get(name, start=start, end=end, pin=found) as chunks:
            async for chunk in chunks:
                yield chunk

    headers = {"Accept-Ranges": "bytes", "ETag": tag, "Content-Length": str(end - start)}
    headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name.rpartition('/')[2], safe='')}"
    if wanted:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{found.size}"
    status_code = 206 if wanted else 200
    return StreamingResponse(content(), status_code, headers, "application/octet-stream")


@router.delete("/{key:path}", status_code=status.HTTP_204_NO_CONTENT, responses=problems(404, 409, 502))
async def delete(
    service: TheService,
    caller: MayDelete,
    key: Key,
    copies: Annotated[bool, Query(description="Its copies in other stores too; else they stay.")] = False,
) -> None:
    """Delete an archive for good. Audited.

    A copy that cannot be deleted stays; `GET /api/backup/copies` tells of it no more, for its archive is gone.
    """
    store, name = await archive_of(service, key)
    for job in await service.jobs.running():
        if job.archive and full_name(store, job.archive) == name:
            raise Busy(f"Job {job.id} uses this archive.", hint="Wait until it ended, or cancel it.")
    await archives.delete(name, store)
    gone, left = await delete_copies(name.removeprefix(store.prefix), service.config.copies if copies else ())
    said = f"Its copies too: {', '.join(gone) or 'none was there'}." if copies else ""
    details = " ".join(filter(None, (said, *left)))
    await service.audit.write(AuditEntry.by(caller.actor, "archive.deleted", archive=name, details=details))


async def _try(store: StoreSettings) -> models.Connections:
    checks = []
    for check in await check_connections(store=store):
        if not check.ok:
            structlog.get_logger("kleidia_backup.api").warning(
                "the store cannot be used as it was tried", code=_code(check), detail=check.detail, said=check.said
            )
        checks.append(
            models.Connection(
                part="store",
                ok=check.ok,
                code=_code(check),
                missing=list(check.missing),
                detail=check.detail,
                next_step=check.hint,
                warnings=list(check.warnings),
                allowed=None if check.allowed is None else Allowed.of(check.allowed),
            )
        )
    return models.Connections(ok=all(check.ok for check in checks), checks=checks)


def _code(check: Check) -> str:
    """The name of its error, as problems write theirs."""
    if check.code:
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", check.code).lower()
    return "" if check.ok else "rights-missing"
