"""Retention's rules: what each keeps, and that they mean what they mean in restic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kleidia_backup.pipeline.retention.rules import Aged, Decision, Rules, decide

NOW = datetime(2026, 6, 1, 2, 0, 30, tzinfo=UTC)
ZONES = ("UTC", "Europe/Vienna", "Pacific/Auckland", "America/St_Johns")
PERIODS = ("daily", "weekly", "monthly", "yearly")

hours = st.lists(st.integers(0, 24 * 900), max_size=60, unique=True)
numbers = st.integers(0, 12)
rules_of = st.builds(
    Rules,
    days=st.integers(1, 400),
    at_least=st.integers(1, 5),
    daily=numbers,
    weekly=numbers,
    monthly=numbers,
    yearly=st.integers(0, 3),
    timezone=st.sampled_from(ZONES),
)


def at(moment: datetime, kind: str = "full") -> Aged:
    return Aged(f"{kind}-{moment:%Y%m%d%H%M%S}", kind, moment)


def aged(ages: list[int]) -> list[Aged]:
    """Archives that were made so many hours ago."""
    return [at(NOW - timedelta(hours=each)) for each in ages]


def kept(decisions: list[Decision]) -> set[str]:
    return {each.archive.name for each in decisions if not each.goes}


def key(period: str, local: datetime) -> str:
    """A period's name, written down in another way than the product's."""
    return local.strftime({"daily": "%Y-%m-%d", "weekly": "%G-%V", "monthly": "%Y-%m", "yearly": "%Y"}[period])


@given(hours, rules_of)
def test_each_rule_keeps_what_restic_says(ages: list[int], rules: Rules) -> None:
    """The newest of each of the last N periods that have any; the oldest of all too, while there are fewer."""
    found = decide(aged(ages), NOW, rules)
    newest_first = sorted(aged(ages), key=lambda each: each.created_at, reverse=True)
    assert [each.archive for each in found] == newest_first
    zone = ZoneInfo(rules.timezone)
    for period in PERIODS:
        number = getattr(rules, period)
        groups = groupby(newest_first, lambda each, p=period: key(p, each.created_at.astimezone(zone)))  # type: ignore[misc]
        expected = [next(group).name for _, group in groups][:number]
        if newest_first and len(expected) < number and newest_first[-1].name not in expected:
            expected.append(newest_first[-1].name)
        assert [each.archive.name for each in found if period in each.reasons] == expected, period


@given(hours, rules_of, st.data())
def test_what_is_never_deleted(ages: list[int], rules: Rules, data: st.DataObject) -> None:
    """The newest, the newest proven one, whatever is pinned, in use or young; and more rules never keep less."""
    archives = aged(ages)
    names = [each.name for each in archives]
    some = st.sets(st.sampled_from(names)) if names else st.just(set())
    pinned, proven, in_use = data.draw(some), data.draw(some), data.draw(some)
    left = kept(decide(archives, NOW, rules, pinned=pinned, proven=proven, in_use=in_use))
    assert pinned | in_use <= left
    newest_first = sorted(archives, key=lambda each: each.created_at, reverse=True)
    assert {each.name for each in newest_first[: rules.at_least]} <= left
    assert {each.name for each in [each for each in newest_first if each.name in proven][:1]} <= left
    assert {each.name for each in archives if each.created_at >= NOW - timedelta(days=rules.days)} <= left
    assert kept(decide(archives, NOW, Rules(days=rules.days, at_least=rules.at_least))) <= left


@given(hours, rules_of)
def test_a_second_run_deletes_nothing(ages: list[int], rules: Rules) -> None:
    """What is left by a run is left by the next one at the same time."""
    archives = aged(ages)
    left = kept(decide(archives, NOW, rules))
    assert kept(decide([each for each in archives if each.name in left], NOW, rules)) == left


def test_types_do_not_displace_each_other() -> None:
    """Each type has days of its own."""
    night = NOW - timedelta(days=50)
    archives = [at(night), at(night - timedelta(hours=1), "vault"), at(night - timedelta(hours=2), "vault")]
    found = {each.archive.name: each.reasons for each in decide(archives, NOW, Rules(days=1, at_least=1, daily=1))}
    assert found == {
        archives[0].name: ("at_least", "daily", "newest"),
        archives[1].name: ("at_least", "daily", "newest"),
        archives[2].name: (),
    }


@pytest.mark.parametrize(("timezone", "second"), [("UTC", 0), ("Europe/Vienna", 1)])
def test_a_day_is_that_of_the_time_zone(timezone: str, second: int) -> None:
    """20:30 to 23:30 UTC are one day there, with its oldest archive beside it, and two days in Vienna's summer."""
    evening = datetime(2026, 5, 1, 20, 30, tzinfo=UTC)
    archives = [at(evening + timedelta(hours=each)) for each in range(4)]
    found = decide(archives, NOW, Rules(days=1, at_least=1, daily=2, timezone=timezone))
    assert [each.archive for each in found if "daily" in each.reasons] == [archives[3], archives[second]]
    assert [each.archive for each in found if not each.goes] == [archives[3], archives[second]]


def test_three_years_of_nights_leave_what_was_promised() -> None:
    """Run every night: a week of days, a month of weeks, a year of months, and the years; and no more than that."""
    rules = Rules(days=1, at_least=1, daily=7, weekly=4, monthly=12, yearly=5, timezone="Europe/Vienna")
    left: list[Aged] = []
    begin = datetime(2023, 1, 10, 1, tzinfo=UTC)
    for night in range(3 * 365):
        now = begin + timedelta(days=night)
        decisions = decide([*left, at(now)], now, rules)
        left = [each.archive for each in decisions if not each.goes]
        assert len(left) <= 7 + 4 + 12 + 5
    days = {each.created_at.date() for each in left}
    assert {now.date() - timedelta(days=each) for each in range(7)} <= days
    assert len({(each.year, each.month) for each in days}) >= 12
    assert min(days) == begin.date()  # the first year's last is not yet one of five
    assert {each.year for each in days} == {2023, 2024, 2025, 2026}


def test_the_ends_of_the_calendar() -> None:
    """An archive's name may say the first day that there is, which some zones do not have."""
    first, last = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, tzinfo=UTC)
    aged = [Aged(str(moment.year), "full", moment) for moment in (first, last)]
    for zone in ("America/New_York", "Asia/Tokyo"):
        assert len(decide(aged, NOW, Rules(days=1, at_least=0, daily=3, timezone=zone))) == 2
