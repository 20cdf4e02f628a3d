"""What stands on every view: whose system it is, whether it is safe, and what needs a hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

from ...config.retention.zones import zone
from ...stages.errors import ConfigurationError, KleidiaError
from ..api.identity.roles import Action, allowed, cancelling, role_on
from ..api.routes.shared import targets_of
from ..control.targets.overview import overview
from ..work.retention import has_shrunk
from . import beside, words
from .locked import lock_of

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from fastapi import Request

    from ...stages.stores.locks import Lock
    from ..api.identity.auth import Caller
    from ..control.jobs import Job
    from ..control.settings import BackupSettings
    from ..service import Service

Level: TypeAlias = Literal["good", "warning", "bad"]

#: How much later than due a backup may begin before that is said.
_LATE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Banner:
    """Something that needs a hand: what, and the view where it is done."""

    level: Level
    text: str
    path: str = ""
    action: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewpoint:
    """Who looks at which target, and the target's time zone: enough for a part of a page."""

    target: str
    caller: Caller
    zone: ZoneInfo

    @property
    def role(self) -> str:
        """The caller's role on the target."""
        return role_on(self.caller.principal, self.target) or ""

    def may(self, action: Action) -> bool:
        """Whether the caller may do something here: what he may not is not shown as a button."""
        return allowed(self.caller.principal, action, self.target)

    def may_cancel(self, job: Job) -> bool:
        """Whether the caller may end a job."""
        return self.may(cancelling(job.kind))

    def when(self, moment: datetime | None) -> str:
        """A moment in the target's time zone."""
        return words.when(moment, self.zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame(Viewpoint):
    """What every view shows; ``unfinished`` are restores.

    ``targets`` are those that the caller may read, by their names, and ``view`` the one that another target is shown
    in when it is chosen. ``lock`` keeps the newest archive, where its store has such a thing.
    """

    environment: str
    color: str
    level: Level
    sentence: str
    last_success: datetime | None
    next_run: datetime | None
    last_proven: datetime | None
    targets: tuple[str, ...] = ()
    lock: Lock | None = None
    copies: str = ""
    unfinished: beside.Unfinished | None = None
    banners: list[Banner] = field(default_factory=list)
    tab: str = ""
    view: str = ""


async def viewpoint(service: Service, caller: Caller) -> Viewpoint:
    """For what is asked for every second: one question to the control database, and none to the vault.

    Raises what ``Control.connection`` raises.
    """
    return Viewpoint(target=service.target, caller=caller, zone=_zone(await service.settings.current()))


async def framed(request: Request, service: Service, caller: Caller, tab: str, view: str = "") -> Frame:
    """The frame of a view, which stands under a tab. Raises what ``Control.connection`` raises."""
    last = await service.jobs.page(limit=2, kind="backup", status="completed")
    newest = await service.jobs.page(limit=1, kind="backup")
    (row,) = await overview(service.control, [service.target])
    due = row.next_run
    settings = await _settings(service)
    copies, behind = await beside.copies(service)
    banners = [*_banners(settings, due, last), *(Banner("warning", text) for text in behind)]
    unfinished = await beside.unfinished(service)
    ended = last[0].finished_at if last else None
    bad = unfinished is not None or any(each.level == "bad" for each in banners)
    level, sentence = _state(newest[0] if newest else None, ended, due, bad=bad)
    return Frame(
        target=service.target,
        environment=service.config.environment,
        color=service.config.environment_color,
        caller=caller,
        zone=_zone(settings),
        level=level,
        sentence=sentence,
        last_success=ended,
        next_run=due,
        last_proven=row.last_proven,
        copies=copies,
        unfinished=unfinished,
        targets=_readable(request, caller),
        lock=await lock_of(service, last[0].archive if last else None),
        banners=banners,
        tab=tab,
        view=view or tab,
    )


def _readable(request: Request, caller: Caller) -> tuple[str, ...]:
    """The targets that the caller may read."""
    held = targets_of(request).held()
    return tuple(sorted(name for name in held if allowed(caller.principal, "read", name)))


async def _settings(service: Service) -> BackupSettings | None:
    """The settings, None while the vault does not answer: the page is needed then above all."""
    try:
        return (await service.settings.get())[0]
    except KleidiaError:
        return None


def _zone(settings: BackupSettings | None) -> ZoneInfo:
    try:
        return zone(settings.timezone if settings else "UTC")
    except ConfigurationError:
        return zone("UTC")


def _state(newest: Job | None, ended: datetime | None, due: datetime | None, *, bad: bool) -> tuple[Level, str]:
    following = f" The next is due {words.ago(due)}." if due and due > datetime.now(UTC) else ""
    if newest is None or (ended is None and newest.active):
        running = " The first one is under way." if newest else ""
        return ("warning", f"No backup has been made yet.{running}{following}")
    if newest.status == "failed":
        since = f"the last good one is from {words.ago(ended)}" if ended else "there is no good one"
        return "bad", f"The last backup failed {words.ago(newest.finished_at)}; {since}.{following}"
    return "bad" if bad else "good", f"The last backup is from {words.ago(ended)}.{following}"


def _banners(settings: BackupSettings | None, due: datetime | None, last: list[Job]) -> list[Banner]:
    found = []
    if settings is None:
        found.append(Banner("bad", "The vault does not answer: neither settings nor passwords can be read."))
    else:
        if not settings.has_encryption_password:
            found.append(Banner("bad", "No encryption password is set: there are no backups.", "/settings", "Set one"))
        if not settings.schedule_enabled:
            found.append(Banner("warning", "The schedule is off.", "/settings", "Turn it on"))
    if due is not None and datetime.now(UTC) - due > _LATE:
        found.append(Banner("bad", f"A backup was due {words.ago(due)} and has not begun.", "/history", "See the jobs"))
    if shrunk := _shrunk(last):
        found.append(Banner("warning", shrunk, f"/jobs/{last[0].id}", "Look"))
    return found


def _shrunk(last: list[Job]) -> str:
    """What is said of an archive that is much smaller than the one before of its type; else nothing."""
    sizes = [job.size for job in last if job.size and job.backup_type == last[0].backup_type]
    if len(sizes) < 2 or not has_shrunk(sizes[0], sizes[1]):
        return ""
    return f"The last archive shrank from {words.size(sizes[1])} to {words.size(sizes[0])}."
