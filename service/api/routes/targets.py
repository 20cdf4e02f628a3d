"""All targets at a glance."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from ...control.targets.overview import TargetRow, overview
from ...targets.held import Held
from .. import models
from ..identity.auth import AuthenticatedRoute, Caller, authenticated
from ..identity.roles import allowed
from .shared import PAGE, Limit, problems, targets_of

router = APIRouter(prefix="/api/targets", tags=["targets"], route_class=AuthenticatedRoute)

#: Whoever has a role on any target: what is shown is chosen by it.
Anybody = Annotated[Caller, Depends(authenticated)]


class TargetJob(BaseModel):
    """The job of a target that waits or runs."""

    id: int = Field(examples=[1])
    kind: models.Kind
    status: models.Status
    since: datetime


class TargetView(BaseModel):
    """A target and how it is.

    `broken` is one whose configuration cannot be used; what was read before goes on where there is any. `failed` means
    the last backup; `ok` that it succeeded; `new` that there was none yet.
    """

    name: str = Field(examples=["kleidia"])
    default: bool = Field(description="Whether `/api/backup/…` means it.")
    labels: list[str] = Field(examples=[["vienna"]])
    state: Literal["ok", "failed", "new", "broken"]
    error: str = Field("", description="Why it is broken, or the last backup failed.")
    next_step: str = ""
    last_success: datetime | None = Field(None, description="When a backup last succeeded.")
    next_run: datetime | None = Field(None, description="When the next scheduled backup is due.")
    last_proven: datetime | None = Field(None, description="When a drill last brought an archive back.")
    job: TargetJob | None = None


class TargetPage(BaseModel):
    """Targets by their names."""

    targets: list[TargetView]
    problem: str = Field("", description="Why the configuration was not read again: the one before goes on.")
    total: int
    limit: int
    offset: int


@router.get("", responses=problems())
async def list_targets(
    request: Request,
    caller: Anybody,
    limit: Limit = PAGE,
    offset: Annotated[int, Query(ge=0, le=10_000_000, description="How many to pass over.")] = 0,
) -> TargetPage:
    """The targets that the caller may read: how each is, what runs, what is next, and what was last proven."""
    targets = targets_of(request)
    held = targets.held()
    seen = sorted(name for name in held if allowed(caller.principal, "read", name))
    names = seen[offset : offset + limit]
    rows = await overview(targets.control, names)
    views = [_view(row, held[row.target], default=row.target == targets.default) for row in rows]
    problem = "" if targets.problem is None else targets.problem.summary
    return TargetPage(targets=views, problem=problem, total=len(seen), limit=limit, offset=offset)


def _view(row: TargetRow, held: Held, *, default: bool) -> TargetView:
    state: Literal["ok", "failed", "new", "broken"] = "new"
    error, step = "", ""
    if held.error is not None:
        state, error, step = "broken", held.error.summary, held.error.hint
    elif row.last_status == "failed":
        state, error, step = "failed", row.last_error or "", row.last_hint or ""
    elif row.last_status is not None:
        state = "ok"
    job = None
    if row.job_id is not None:
        job = TargetJob.model_validate(
            {"id": row.job_id, "kind": row.job_kind, "status": row.job_status, "since": row.job_since}
        )
    return TargetView(
        name=row.target,
        default=default,
        labels=[*held.labels],
        state=state,
        error=error,
        next_step=step,
        last_success=row.last_success,
        next_run=row.next_run,
        last_proven=row.last_proven,
        job=job,
    )
