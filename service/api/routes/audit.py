"""The audit log, read only."""

from typing import Annotated

from fastapi import Query

from ...control.audit import Action
from .. import models
from .shared import PAGE, Before, Limit, TheService, Viewer, problems, router_of

router = router_of("/api/backup/audit", "audit")


@router.get("", responses=problems())
async def list_audit(
    service: TheService,
    _: Viewer,
    limit: Limit = PAGE,
    before: Before = None,
    action: Annotated[Action | None, Query(description="Only this.", examples=["backup.failed"])] = None,
) -> models.AuditPage:
    """What was done by whom, newest first."""
    found = await service.audit.page(limit=limit, before=before, action=action)
    entries = [models.AuditView.of(each) for each in found]
    return models.AuditPage(entries=entries, next=entries[-1].id if len(entries) == limit else None)
