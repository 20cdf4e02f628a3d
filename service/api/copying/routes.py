"""Second copies: how they are, and filling them now."""

from fastapi import status

from ..identity.callers import MayBackup
from ..routes.shared import TheService, Viewer, problems, router_of
from .models import CopyStore, CopyStores, nothing_yet

router = router_of("/api/backup/copies", "copies")


@router.get("", responses=problems())
async def list_copies(service: TheService, _: Viewer) -> CopyStores:
    """The stores that get a copy of every archive, as they were seen last.

    How each archive's copies are, `GET /api/backup/list` says.
    """
    found = {each.copy: each for each in await service.copy_runs.all()}
    copies = []
    for each in service.config.copies:
        run = found.get(each.name) or nothing_yet(each.name)
        copies.append(
            CopyStore(
                name=each.name,
                number=each.number,
                where=each.store.where,
                lag=run.lag,
                longest_lag=each.lag,
                states=run.states,
                running=run.running,
                checked=run.checked_at,
                error=run.error,
                next_step=run.hint,
            )
        )
    return CopyStores(copies=copies)


@router.post("/sync", status_code=status.HTTP_202_ACCEPTED, responses=problems())
async def sync_copies(service: TheService, caller: MayBackup) -> CopyStores:
    """Fill every copy as soon as a replica is free, also with what failed a moment ago."""
    await service.copy_runs.wake(retry=True)
    return await list_copies(service, caller)
