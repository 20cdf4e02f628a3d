"""What retention would do with a store, and doing it. The one function for the service, the command and previews.

What is deleted, or counts among those that stay, has an archive's name directly under our prefix, a header that fits
it, and is ours: a job recorded it, or it opens (``Own``). Its age is that of both, not of the store's last change: a
bucket that was moved holds archives from long ago that it got yesterday. Two installations that share a prefix cannot
be distinguished: give each its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import structlog

from ...formats.facts import ARCHIVE_NAME
from ...stages.archive.download import read_head
from ...stages.errors import ArchiveError, ObjectMissing, ObjectRetained, StoreError, StoreUnreachable
from ...stages.stores.locks import locks_of
from .pins import is_pinned, pinned_in
from .rules import Aged, Decision, Rules, decide

if TYPE_CHECKING:
    from ...stages.stores.base import ObjectInfo, ObjectStore


class Own(Protocol):
    """Tells our own archives from others."""

    async def has(self, store: ObjectStore, info: ObjectInfo, checksum: str) -> bool:
        """Whether this is one; ``checksum`` is what its head says."""


#: Which of these archives, as the store lists them, a drill brought back: their names.
Proven = Callable[[Sequence["ObjectInfo"]], Awaitable[Collection[str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What becomes of each archive of ours, newest first.

    ``unread`` are those that the store does not give now, each with why, ``others`` what has the name of an archive and
    is none, or not ours: both are left alone. While nothing is older than ``days``, names alone are looked at.
    """

    rules: Rules
    now: datetime
    decisions: tuple[Decision, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()
    others: tuple[str, ...] = ()
    infos: Mapping[str, ObjectInfo] = field(default_factory=dict, repr=False)

    @property
    def going(self) -> list[Aged]:
        """What is deleted, oldest first."""
        return [each.archive for each in reversed(self.decisions) if each.goes]

    @property
    def warnings(self) -> list[str]:
        """What is left alone though nobody knows whether it should go."""
        if not self.unread:
            return []
        first, why = self.unread[0]
        more = f", and {len(self.unread) - 1} more" if len(self.unread) > 1 else ""
        return [f"Retention cannot look at {first}{more}, and leaves them alone: {why}"]


def by_name(name: str, prefix: str) -> Aged | None:
    """An archive by its name; None for any other name, or one that is not directly under ``prefix``."""
    match = ARCHIVE_NAME.fullmatch(name, len(prefix)) if name.startswith(prefix) else None
    if match is None:
        return None
    try:
        moment = datetime.strptime(f"{match[2]}{match[3]}+0000", "%Y%m%d%H%M%S%z")
    except ValueError:
        return None
    return Aged(name, match[1], moment.astimezone(UTC))


async def plan(
    store: ObjectStore,
    rules: Rules,
    now: datetime,
    own: Own,
    *,
    newest: str | None = None,
    proven: Proven | None = None,
    in_use: Collection[str] = (),
) -> Plan:
    """What would become of the archives in a store; nothing is changed.

    ``newest`` is the full name of the archive that was just made, which nothing else proves to be whole, ``in_use``
    those that jobs read. Raises the ``StoreError`` tree when the listing fails, and what ``own`` and ``proven`` raise.
    """
    listed = {info.name: info async for info in store.list(store.prefix)}
    named = [aged for name in listed if (aged := by_name(name, store.prefix)) is not None]
    limit = rules.limit(now)
    look = _Look(store, rules, now, own, newest)
    old = limit is not None and any(aged.created_at < limit for aged in named)
    valid = await look.valid(named, limit) if old and limit is not None else named
    shown = [listed[each.name] for each in valid]
    decisions = decide(
        valid,
        now,
        rules,
        newest=newest,
        proven=await proven(shown) if proven is not None and old else (),
        pinned=pinned_in(listed),
        in_use=in_use,
    )
    locks = await locks_of(store, [each.archive.name for each in decisions if each.goes])
    locked = {name for name, lock in locks.items() if lock.holds}
    return Plan(
        rules=rules,
        now=now,
        decisions=tuple(
            replace(each, reasons=("locked",)) if each.archive.name in locked else each for each in decisions
        ),
        unread=tuple(look.unread),
        others=tuple(sorted(look.others)),
        infos={each.name: listed[each.name] for each in valid} | look.infos,
    )


class _Look:
    """Which of the archives that their names promise are ours."""

    def __init__(self, store: ObjectStore, rules: Rules, now: datetime, own: Own, newest: str | None) -> None:
        self._store, self._rules, self._now, self._own, self._newest = store, rules, now, own, newest
        self.infos: dict[str, ObjectInfo] = {}
        self.unread: list[tuple[str, str]] = []
        self.others: list[str] = []
        self._log = structlog.get_logger("kleidia_backup.retention")

    async def valid(self, named: Sequence[Aged], limit: datetime) -> list[Aged]:
        """Those that are ours; of the young ones only as many are asked as the choice among the old ones needs."""
        found: list[Aged] = []
        counted: dict[str, int] = defaultdict(int)
        for each in sorted(named, key=lambda aged: aged.created_at, reverse=True):
            enough = counted[each.backup_type] >= self._rules.at_least and not self._rules.periodic
            if each.name == self._newest or (each.created_at >= limit and enough):
                aged: Aged | None = each
            else:
                aged = await self._inspected(each)
            if aged is not None:
                found.append(aged)
                counted[each.backup_type] += aged.created_at <= self._now
        return found

    async def _inspected(self, named: Aged) -> Aged | None:
        """The archive with the later of its two times; None when its header does not fit, or it is not ours."""
        try:
            info, preamble = await read_head(self._store, named.name)
            ours = await self._own.has(self._store, info, preamble.header.checksum)
        except (ArchiveError, ObjectMissing) as exc:
            self._log.info("left alone: no archive of ours", name=named.name, error=exc.message)
            self.others.append(named.name)
            return None
        except StoreUnreachable:
            raise
        except StoreError as exc:  # for example one that a lifecycle rule has moved to an archive tier
            self.unread.append((named.name, exc.message))
            return None
        if preamble.header.backup_type != named.backup_type or not ours:
            self._log.info("left alone: not ours, or its header does not fit its name", name=named.name)
            self.others.append(named.name)
            return None
        self.infos[named.name] = info
        return Aged(named.name, named.backup_type, max(named.created_at, preamble.header.created_at))


async def carry_out(
    store: ObjectStore,
    made: Plan,
    deleted: Callable[[Aged, ObjectInfo], Awaitable[None]],
    in_use: Callable[[], Awaitable[Collection[str]]] | None = None,
) -> list[str]:
    """Delete what a plan gives up, and tell ``deleted`` of each; warnings about what was not deleted.

    What was pinned or locked since the plan was made stays, and what ``in_use`` names, which is asked before each:
    a job may have begun to read it. Raises what ``deleted`` and ``in_use`` raise.
    """
    warnings = made.warnings
    for number, each in enumerate(made.going):
        try:
            if await is_pinned(store, each.name):
                continue
            if in_use is not None and each.name in await in_use():
                continue
            await store.delete(each.name, pin=made.infos[each.name])
        except (ObjectMissing, ObjectRetained):
            continue  # deleted by another, or locked meanwhile
        except StoreError as exc:
            warnings.append(f"{each.name} is older than {made.rules.days} days and was not deleted: {exc.message}")
            if isinstance(exc, StoreUnreachable):  # each attempt takes minutes
                left = len(made.going) - number - 1
                return [*warnings, *([f"{left} more archives were not deleted either."] if left else [])]
            continue
        await deleted(each, made.infos[each.name])
    return warnings


def because(each: Aged, rules: Rules) -> str:
    """Why it was deleted, for the audit log."""
    others = ", and no other rule keeps it" if rules.periodic else ""
    return f"Retention: made {each.created_at:%Y-%m-%d %H:%M:%S} UTC, more than {rules.days} days ago{others}."
