"""Fills copies: what is missing or differs is copied, the newest first, and what a copy does not keep is deleted there.

Every step can be done again: a run that was killed leaves what the next one goes on with.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from ...stages.errors import ArchiveError, ConfigurationError, KleidiaError, Pinned, StoreUnreachable
from ..job import JOB_TIMEOUT, Job, within
from ..retention.pins import is_pinned
from .aging import given_up
from .deleting import delete_copy
from .one import OneCopy
from .states import Listed, Sides, listed_in, look

if TYPE_CHECKING:
    from ...stages.stores.base import ObjectInfo, ObjectStore, StoreSettings
    from ..archives.copied import CopyState
    from ..job import Logger
    from ..reports.jobs import OnProgress
    from .settings import Copy

#: After how long an unfinished copy that nobody goes on with is removed.
STALE = timedelta(days=7)


#: Which of these archives, by names without the prefix, a drill brought back.
ProvenNames = Callable[[Collection[str]], Awaitable[Collection[str]]]


class Watcher(Protocol):
    """Who is asked before an archive is copied, and told what became of it."""

    async def listed(self, archives: Mapping[str, ObjectInfo]) -> None:
        """These archives of the first store, by names without the prefix, belong into the copy, whatever it has."""

    async def begins(self, state: CopyState) -> bool:
        """Whether to copy it now; False when another does, or it was tried a moment ago."""

    async def ended(self, state: CopyState) -> None:
        """It was copied, or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """What became of one copy.

    ``states`` are the archives of the first store that belong there, newest first, ``copied`` those that were copied
    or compared in this run and ``bytes`` their size, ``deleted`` those that its retention removed. ``lag`` is how long,
    in seconds, the oldest of those that are not ok has been in the first store. ``error`` says why the copy could not
    be looked at, or not be gone on with.
    """

    number: int
    copy: str
    where: str
    states: tuple[CopyState, ...] = ()
    copied: tuple[str, ...] = ()
    bytes: int = 0
    deleted: tuple[str, ...] = ()
    lag: float = 0.0
    warnings: tuple[str, ...] = ()
    error: str = ""
    hint: str = ""

    @property
    def ok(self) -> bool:
        """Whether every archive that belongs there is."""
        return not self.error and all(each.state == "ok" for each in self.states)


async def sync_copies(
    store: StoreSettings,
    copies: Sequence[Copy],
    *,
    only: str | None = None,
    new_slots: bool = False,
    dry_run: bool = False,
    watcher: Watcher | None = None,
    proven: ProvenNames | None = None,
    on_progress: OnProgress = None,
    log: Logger | None = None,
    timeout: float = JOB_TIMEOUT,  # noqa: ASYNC109 - a limit for each archive, with an error of its own
) -> list[CopyReport]:
    """Fill each of the copies from ``store``, one after the other; of a dry run, what would be done.

    ``only`` names one archive, without the prefix: nothing else is copied, and nothing is deleted.
    ``new_slots``: key slots that differ were changed by ``rewrap``, and the copies get them too. ``proven`` knows what
    drills have said; the newest that one brought back is kept. While it cannot be asked, nothing is deleted, which is a
    warning. ``timeout`` is seconds for one archive. What is wrong with a copy is in its report; raises the
    ``StoreError`` tree when the first store cannot be listed, and what ``watcher`` raises.
    """
    reports = []
    async with store.open() as first:
        listed = await listed_in(first)
        for copy in copies:
            run = _Run(
                first,
                (store.place, store.prefix),
                listed,
                copy,
                only,
                new_slots,
                dry_run,
                watcher,
                proven,
                on_progress,
                log,
                timeout,
            )
            reports.append(await run.report())
    return reports


@dataclass(eq=False)
class _Run:
    first: ObjectStore
    place: tuple[str, str]
    first_listed: Listed
    copy: Copy
    only: str | None
    new_slots: bool
    dry_run: bool
    watcher: Watcher | None
    ask_proven: ProvenNames | None
    on_progress: OnProgress
    log: Logger | None
    timeout: float
    states: dict[str, CopyState] = field(default_factory=dict)
    copied: list[str] = field(default_factory=list)
    bytes: int = 0
    deleted: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    proven: Collection[str] = ()
    unknown: bool = False

    @property
    def listed(self) -> Mapping[str, ObjectInfo]:
        return self.first_listed.archives

    async def report(self) -> CopyReport:
        error = hint = ""
        await self._ask(self.listed)
        if self.watcher is not None:
            old = self._given_up(self.listed, self.first_listed.pinned)
            await self.watcher.listed({name: info for name, info in self.listed.items() if name not in old})
        try:
            if (self.copy.store.place, self.copy.store.prefix) == self.place:
                raise ConfigurationError(
                    f"The copy {self.copy.name} is in the same place as the archives themselves.",
                    hint="Give it a bucket, a directory or a prefix of its own; best is another machine.",
                )
            async with self.copy.store.open() as store:
                await self._fill(store)
        except KleidiaError as exc:
            error, hint = exc.message, exc.hint
        return CopyReport(
            number=self.copy.number,
            copy=self.copy.name,
            where=self.copy.store.where,
            states=tuple(self.states.values()),
            copied=tuple(self.copied),
            bytes=self.bytes,
            deleted=tuple(self.deleted),
            lag=lag_of(self.states.values(), self.listed, self.now),
            warnings=tuple(self.warnings),
            error=error,
            hint=hint,
        )

    async def _fill(self, store: ObjectStore) -> None:
        sides = await look(self.listed, store, self.copy.name)
        pinned = self.first_listed.pinned | sides.pinned
        await self._ask(names := {*sides.first, *sides.there})
        old = self._given_up(names, pinned)
        wanted = [name for name in self.listed if name not in old]
        wanted.sort(key=lambda name: (self.listed[name].modified, name), reverse=True)
        self.states = {name: sides.states[name] for name in wanted}
        for name in wanted:
            if self.states[name].state != "ok" and self.only in {None, name}:
                await self._one(store, name)
        if self.only is None:
            if not self.unknown:
                await self._prune(store, sides, old)
            if not self.dry_run:  # only now: whatever can be gone on with was
                await store.abort_stale(STALE)

    async def _ask(self, names: Collection[str]) -> None:
        """Learn which of these a drill brought back."""
        if self.ask_proven is None or self.unknown:
            return
        try:
            self.proven = await self.ask_proven(names)
        except KleidiaError as exc:
            self.unknown = True
            self.warnings.append(
                f"Nothing is deleted in {self.copy.name}, for nobody can say which archives are proven: {exc.message}"
            )

    def _given_up(self, names: Iterable[str], pinned: Collection[str]) -> frozenset[str]:
        return given_up(names, self.copy.rules, self.now, pinned, self.proven)

    async def _one(self, store: ObjectStore, name: str) -> None:
        if self.dry_run:
            self.copied.append(name)
            self.bytes += self.listed[name].size
            return
        if self.watcher is not None and not await self.watcher.begins(self.states[name]):
            return
        job = Job(self.on_progress, self.log)
        try:
            one = OneCopy(job, self.first, self.listed[name], store, self.copy, new_slots=self.new_slots)
            made = await within(self.timeout, one.run, job)
        except KleidiaError as exc:
            made = replace(self.states[name], state="failed", error=exc.message, hint=exc.hint)
            if isinstance(exc, ArchiveError):
                made = replace(made, hint="What is no archive, or damaged in its first bytes, is not copied.")
            unreachable = exc if isinstance(exc, StoreUnreachable) else None
        else:
            unreachable = None
        self.states[name] = made
        if made.state == "ok":
            self.copied.append(name)
            self.bytes += made.size or 0
        elif made.error:
            self.warnings.append(f"{name} has no good copy in {self.copy.name}: {made.error}")
        if self.watcher is not None:
            await self.watcher.ended(made)
        if unreachable is not None:
            raise unreachable

    async def _prune(self, store: ObjectStore, sides: Sides, old: Collection[str]) -> None:
        """Delete what the copy does not keep, and only what we put there.

        Its rules count only good copies: archives that could not be copied keep nothing here in place of older ones.
        """
        states = {**sides.states, **self.states}
        good = {name for name, each in states.items() if each.state == "ok"} | {*self.copied}
        good |= sides.known & (sides.there.keys() - sides.first.keys())  # nothing is left to compare them with
        pinned = self.first_listed.pinned | sides.pinned
        for name in sorted({*old} & self._given_up(good, pinned)):
            if name not in sides.there or name not in sides.known:
                continue
            if not self.dry_run:
                try:  # what was pinned since the listings, in either store, stays as well
                    if await is_pinned(self.first, self.first.prefix + name):
                        continue
                    await delete_copy(store, name)
                except Pinned:
                    continue
                except StoreUnreachable:
                    raise
                except KleidiaError as exc:
                    self.warnings.append(f"{name} is too old for {self.copy.name} and was not deleted: {exc.message}")
                    continue
            self.deleted.append(name)


def by_full_names(ask: ProvenNames, prefix: str) -> ProvenNames:
    """For who knows archives by their full names."""

    async def asked(names: Collection[str]) -> Collection[str]:
        return {name.removeprefix(prefix) for name in await ask([prefix + each for each in names])}

    return asked


def lag_of(states: Collection[CopyState], listed: Mapping[str, ObjectInfo], now: datetime) -> float:
    """Seconds for which the oldest archive that is not ok has been in the first store; 0 when all are."""
    waiting = [listed[each.archive].modified for each in states if each.state != "ok"]
    return max(0.0, (now - min(waiting)).total_seconds()) if waiting else 0.0
