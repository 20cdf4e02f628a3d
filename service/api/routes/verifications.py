"""Proof that an archive can be used: reading it to its last byte, and restoring it into scratch servers."""

from typing import Literal

from fastapi import Request, Response, status

from ....pipeline.archives.listing import line_of
from ...work.proofs.verifying import type_of
from .. import models, rates
from ..identity.auth import Caller
from ..identity.callers import MayDrill, MayVerify
from .shared import TheService, address, archive_of, located, new_job, problems, router_of, submit

router = router_of("/api/backup", "verifications")

_RESPONSES = {202: located("The job", "Where the job is told of."), **problems(404, 409, 429, 502)}


@router.post("/verify", status_code=status.HTTP_202_ACCEPTED, responses=_RESPONSES)
async def verify(
    request: Request, response: Response, service: TheService, caller: MayVerify, wanted: models.Reading | None = None
) -> models.JobView:
    """Read an archive to its last byte and check everything a restore relies on; without a body the newest.

    Nothing is written. The job fails if the archive is damaged, and if it cannot be read to its end, which says nothing
    of it: `report.verdict` tells the one from the other. A password is kept as that of a restore is.
    """
    return await _start(request, response, service, caller, "verify", wanted)


@router.post("/drill", status_code=status.HTTP_202_ACCEPTED, responses=_RESPONSES)
async def drill(
    request: Request, response: Response, service: TheService, caller: MayDrill, wanted: models.Reading | None = None
) -> models.JobView:
    """Restore an archive into scratch servers, compare all that came back, and remove it; without a body the newest.

    Nothing is written to what is backed up. The job fails unless the archive is proven; its `report` has all that was
    compared.
    """
    return await _start(request, response, service, caller, "drill", wanted)


async def _start(
    request: Request,
    response: Response,
    service: TheService,
    caller: Caller,
    kind: Literal["verify", "drill"],
    wanted: models.Reading | None,
) -> models.JobView:
    await rates.take(service, kind, caller)
    wanted = wanted or models.Reading.model_validate({})
    store, name = await archive_of(service, wanted.key, wanted.as_of, wanted.from_copy)
    archive = await line_of(store, name)
    options = {} if wanted.as_of is None else {"as_of": wanted.as_of.isoformat()}
    options |= {} if wanted.from_copy is None else {"from_copy": wanted.from_copy}
    job = new_job(caller, kind=kind, backup_type=type_of(archive), archive=archive.name, options=options)
    password = None if wanted.password is None else wanted.password.get_secret_value()
    made = await submit(request, service, job, password=password)
    response.headers["Location"] = address(request, f"/api/backup/jobs/{made.id}")
    return made
