"""Retention's rules: which archives are kept, and why each is. A pure function of what there is and the time.

Daily, weekly, monthly and yearly mean what they mean in restic: of the last N days that have archives, the newest
archive of each is kept. Every rule is applied for itself, to all archives of one type, pinned ones too; an archive goes
only when no rule keeps it. docs/retention.md says it for operators.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

from ...stages.words import in_zone

#: Why an archive stays. ``off``: there is no limit of days, so none ever goes. ``age``: it is not older than that.
#: ``newest``: the newest of its type, or the one that was just made. ``proven``: the newest of its type that a drill
#: brought back. ``in_use``: a job reads it. ``locked``: the store lets nobody delete it yet.
#: ``future``: it says that it was made later than now.
Reason: TypeAlias = Literal[
    "off",
    "age",
    "newest",
    "at_least",
    "daily",
    "weekly",
    "monthly",
    "yearly",
    "proven",
    "pinned",
    "in_use",
    "locked",
    "future",
]
_Period: TypeAlias = Callable[[datetime], object]
#: What two archives of one period have in common, by local time. Weeks are those of ISO 8601, from Monday.
_PERIODS: dict[Reason, _Period] = {
    "daily": lambda local: local.date(),
    "weekly": lambda local: local.isocalendar()[:2],
    "monthly": lambda local: (local.year, local.month),
    "yearly": lambda local: local.year,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """``days``: archives that are older go (0: none ever), but for what the other rules keep of each type.

    ``at_least``: the newest ones, one at least. ``daily`` to ``yearly``: the newest of that many last periods that have
    any, in ``timezone``; while there are fewer periods, the oldest archive too, so that it can grow old.
    """

    days: int = 30
    at_least: int = 3
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    timezone: str = "UTC"

    @property
    def periodic(self) -> bool:
        """Whether days, weeks, months or years count at all."""
        return any((self.daily, self.weekly, self.monthly, self.yearly))

    def limit(self, now: datetime) -> datetime | None:
        """What was made before is older than ``days``; None when nothing is."""
        return now - timedelta(days=self.days) if self.days > 0 else None


@dataclass(frozen=True, slots=True)
class Aged:
    """An archive and when it was made."""

    name: str
    backup_type: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of an archive: it stays for each of ``reasons``, or goes for lack of any."""

    archive: Aged
    reasons: tuple[Reason, ...]

    @property
    def goes(self) -> bool:
        """Whether it is deleted."""
        return not self.reasons


def decide(
    archives: Iterable[Aged],
    now: datetime,
    rules: Rules,
    *,
    newest: str | None = None,
    proven: Collection[str] = (),
    pinned: Collection[str] = (),
    in_use: Collection[str] = (),
) -> list[Decision]:
    """What becomes of each, newest first. ``newest`` is the one that was just made, whatever its clock said.

    One from the future, by a wrong clock, stays, and is not among those that are kept instead of others.
    """
    zone = UTC if rules.timezone == "UTC" else ZoneInfo(rules.timezone)  # the former is known everywhere
    by_type: dict[str, list[Aged]] = defaultdict(list)
    for each in archives:
        by_type[each.backup_type].append(each)
    decisions: list[Decision] = []
    for group in by_type.values():
        group.sort(key=_age, reverse=True)
        reasons: dict[str, set[Reason]] = {each.name: set() for each in group}
        past = [each for each in group if each.created_at <= now or each.name == newest]
        for each in group:
            reasons[each.name] |= _each(each, now, rules, newest, pinned, in_use)
        for each in past[:1]:
            reasons[each.name].add("newest")
        for each in past[: max(rules.at_least, 1)]:
            reasons[each.name].add("at_least")
        for each in [each for each in group if each.name in proven][:1]:
            reasons[each.name].add("proven")
        for reason, period in _PERIODS.items():
            for each in _last_of(past, getattr(rules, reason), period, zone):
                reasons[each.name].add(reason)
        decisions += [Decision(each, tuple(sorted(reasons[each.name]))) for each in group]
    return sorted(decisions, key=lambda each: _age(each.archive), reverse=True)


def _each(
    archive: Aged, now: datetime, rules: Rules, newest: str | None, pinned: Collection[str], in_use: Collection[str]
) -> set[Reason]:
    """What keeps it, whatever the others are."""
    limit = rules.limit(now)
    found: dict[Reason, bool] = {
        "off": limit is None,
        "age": limit is not None and archive.created_at >= limit,
        "newest": archive.name == newest,
        "future": archive.created_at > now and archive.name != newest,
        "pinned": archive.name in pinned,
        "in_use": archive.name in in_use,
    }
    return {reason for reason, keeps in found.items() if keeps}


def _last_of(archives: Sequence[Aged], number: int, period: _Period, zone: tzinfo) -> list[Aged]:
    """The newest archive of each of the last ``number`` periods that have one; of fewer, the oldest archive as well."""
    kept: list[Aged] = []
    last: object = None
    for each in archives:
        if len(kept) >= number:
            return kept
        own = period(in_zone(each.created_at, zone))
        if own != last or each is archives[-1]:
            kept.append(each)
            last = own
    return kept


def _age(archive: Aged) -> tuple[datetime, str]:
    return archive.created_at, archive.name
