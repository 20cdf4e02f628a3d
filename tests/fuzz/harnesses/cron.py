"""Schedules: what a cron text and a time zone mean, beside a second look at the simple ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from kleidia_backup.config.retention.zones import zone
from kleidia_backup.service.control.cron import Cron
from kleidia_backup.stages.errors import ConfigurationError

from ..harness import Finding, Harness, expect_same, joined, parts, words

#: Days of the second look: behind them the first may be right.
_DAYS = 800
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_SIMPLE = re.compile(r"(\*|\d{1,2}(-\d{1,2})?)(/\d{1,2})?")


def one(data: bytes) -> None:
    """``text ␞ time zone ␞ minutes since 2026``."""
    text, name, minutes = (part.decode(errors="replace") for part in parts(data, 3))
    moment = _BEGIN + timedelta(minutes=int(minutes) if re.fullmatch("[0-9]{1,7}", minutes) else 0)
    name = name or "UTC"
    try:
        zone(name)
        cron = Cron(text, name)
        after, before = cron.after(moment), cron.before(moment)
    except ConfigurationError as exc:
        if any(said in str(exc) for said in (text, name) if len(said) > 40):
            raise Finding("the message repeats what was given") from exc
        return
    if not before <= moment < after or after.tzinfo is not UTC or after.second or after.microsecond:
        raise Finding(f"due at {before} and {after}, asked at {moment}")
    expect_same(cron.before(after), after, "a due time, looked back on")
    # Nothing is due between the two.
    expect_same(cron.after(before), after, "the one after the last")
    wanted = next(_second(text, moment), None) if name == "UTC" else None
    if wanted is not None:
        expect_same(after, wanted, "when it is due")


def _second(text: str, moment: datetime) -> Iterator[datetime]:
    """The due times of a simple text, in UTC, minute by minute; nothing for another one."""
    fields = text.split()
    sets = [_numbers(field, *limits) for field, limits in zip(fields, _RANGES, strict=True)] if len(fields) == 5 else []
    if not sets or not all(sets):
        return
    minutes, hours, days, months, weekdays = sets
    weekdays = {number % 7 for number in weekdays}
    both = fields[2].startswith("*") or fields[4].startswith("*")
    for offset in range(_DAYS):
        day = (moment + timedelta(days=offset)).replace(hour=0, minute=0, second=0, microsecond=0)
        fits = (day.day in days, day.isoweekday() % 7 in weekdays)
        if day.month not in months or not (all(fits) if both else any(fits)):
            continue
        for hour in sorted(hours):
            for minute in sorted(minutes):
                if (due := day.replace(hour=hour, minute=minute)) > moment:
                    yield due


def _numbers(field: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for each in field.split(","):
        if not _SIMPLE.fullmatch(each):
            return set()
        span, _, step = each.partition("/")
        first, _, last = span.partition("-")
        begin = low if first == "*" else int(first)
        end = high if first == "*" or (step and not last) else int(last or first)
        if not low <= begin <= end <= high or step == "0" or (step and int(step) == 0):
            return set()
        if first == "*" and high == 7:
            end = 6
        found.update(range(begin, end + 1, int(step or 1)))
    return found


def seeds() -> Mapping[str, bytes]:
    """Texts of every form, in zones whose clock jumps."""
    return {
        "daily": joined(b"0 2 * * *", b"UTC", b"1234567"),
        "steps": joined(b"*/15 1-5,7 1,15 */2 1-5", b"UTC", b"99999"),
        "names": joined(b"30 2 * jan-mar,oct sun", b"Europe/Vienna", b"124000"),
        "last": joined(b"0 0 L * *", b"America/New_York", b"98765"),
        "leap": joined(b"0 0 29 2 *", b"UTC", b"5"),
        "never": joined(b"0 0 30 2 *", b"UTC", b""),
        "nth": joined(b"5 4 * * mon#2", b"Australia/Lord_Howe", b"400000"),
        "hours": joined(b"30 * * * *", b"Europe/Vienna", b"428500"),
        "zone": joined(b"0 2 * * *", b"../../etc/passwd", b"1"),
    }


_WORDS = words(
    rb"""
    */ 1-5 , L LW W #2 MON sun jan dec 7 31 29 59 - @daily Europe/Vienna America/St_Johns Pacific/Apia UTC
    Asia/Kathmandu Etc/GMT+12 localtime 12345
    """,
    b"0 ",
    b"* ",
    b"\x1e",
)
HARNESSES = {"cron": Harness(one, seeds, _WORDS, 120)}
