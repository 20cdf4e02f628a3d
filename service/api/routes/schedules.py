"""What the schedules will do, and what became of what they did: next runs, and statistics by day."""

from datetime import UTC, date, datetime
from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, Field

from ....config.retention.zones import zone
from ...control.backup_settings import SCHEDULES
from ...control.views.statistics import Count, count, days_until
from .. import models
from .shared import TheService, Viewer, problems, router_of

router = router_of("/api/backup", "schedules")

#: Runs that are foretold.
NEXT = 5


class NextRuns(BaseModel):
    """When jobs of a kind are due. `due` is empty while their schedule is off.

    `overdue` is the moment of one that waits until another job has ended, or for a replica.
    """

    kind: models.Kind
    enabled: bool
    schedule: str = Field(examples=["0 2 * * *"])
    overdue: datetime | None
    due: list[datetime]


class Schedules(BaseModel):
    """The next runs of every kind that has a schedule; times are in UTC, the schedules' in `timezone`."""

    timezone: str = Field(examples=["Europe/Vienna"])
    schedules: list[NextRuns]


class KindOfDay(BaseModel):
    """The jobs of a kind on one day. `bytes` (of archives) and `seconds` are those of the completed ones together."""

    kind: models.Kind
    completed: int
    failed: int
    missed: int = Field(description="Scheduled moments at which nothing ran, and that were not made up for.")
    bytes: int
    seconds: float


class Day(BaseModel):
    """One day. `state` is that of its backups: `missed` also where others ran, `failed` where none that ran succeeded.

    What the schedule made belongs to the day on which it was due.
    """

    date: date
    state: Literal["ok", "failed", "missed", "none"]
    jobs: list[KindOfDay]


class Statistics(BaseModel):
    """The last days, the newest at the end."""

    timezone: str = Field(description="In which the days begin.", examples=["Europe/Vienna"])
    days: list[Day]


@router.get("/schedule/next", responses=problems(409))
async def next_runs(service: TheService, _: Viewer) -> Schedules:
    """The next five runs of each schedule."""
    settings, now = await service.settings.current(), datetime.now(UTC)
    found = []
    for kind, name in SCHEDULES.items():
        enabled, due, overdue = settings.scheduled(kind), list[datetime](), None
        if enabled:
            due = settings.cron(kind).following(now, NEXT)
            waits = await service.schedule.next_due(service.target, kind)
            overdue = waits if waits is not None and waits <= now else None
        text = getattr(settings, name)
        found.append(NextRuns(kind=kind, enabled=enabled, schedule=text, overdue=overdue, due=due))
    return Schedules(timezone=settings.timezone, schedules=found)


@router.get("/statistics", responses=problems(409))
async def statistics(
    service: TheService,
    _: Viewer,
    days: Annotated[int, Query(ge=1, le=366, description="How many days, with today.")] = 30,
) -> Statistics:
    """What ran, failed and was missed, day by day in the time zone of the schedules."""
    settings = await service.settings.current()
    wanted = days_until(datetime.now(UTC), days, zone(settings.timezone))
    counts = await count(service.control, service.target, [begin for _day, begin in wanted])
    found = []
    for number, (day, _begin) in enumerate(wanted, 1):
        of_day = [each for each in counts if each.day == number]
        jobs = [KindOfDay.model_validate(each, from_attributes=True) for each in of_day]
        found.append(Day(date=day, state=_state(of_day), jobs=jobs))
    return Statistics(timezone=settings.timezone, days=found)


def _state(counts: list[Count]) -> Literal["ok", "failed", "missed", "none"]:
    backups = next((each for each in counts if each.kind == "backup"), None)
    if backups is None:
        return "none"
    if backups.missed:
        return "missed"
    return "ok" if backups.completed else "failed"
