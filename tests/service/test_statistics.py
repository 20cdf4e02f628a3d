"""What the schedules will do, and what became of what they did, day by day where days have 23 and 25 hours."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from kleidia_backup.service.control.cron import Cron
from kleidia_backup.service.control.database import Control
from kleidia_backup.service.control.views.statistics import count, days_until, note_missed
from kleidia_backup.service.service import Service

from .asking import admin_of

pytestmark = pytest.mark.anyio

VIENNA = ZoneInfo("Europe/Vienna")
_JOB = """
    INSERT INTO kleidia_backup.jobs
        (kind, backup_type, target, status, scheduled_for, created_at, started_at, finished_at, size)
    VALUES ('backup', 'full', 'app', %(status)s, %(due)s, %(at)s, %(at)s, %(at)s + interval '30 s', %(size)s)
"""


@pytest.mark.parametrize(("day", "hours"), [(29, 23), (25, 25)], ids=["spring", "autumn"])
async def test_a_day_is_as_long_as_its_clock_says(control: Control, day: int, hours: int) -> None:
    """One second before midnight and at midnight are two days; what was made up for belongs to the day it was due."""
    month = 3 if day == 29 else 10
    begins = datetime(2026, month, day, tzinfo=VIENNA).astimezone(UTC)
    ends = datetime(2026, month, day + 1, tzinfo=VIENNA).astimezone(UTC)
    assert (ends - begins).total_seconds() == hours * 3600
    days = days_until(ends, 3, VIENNA)
    assert [each.day for each, _ in days] == [day - 1, day, day + 1]
    assert days[1][1] == begins
    async with control.connection() as connection:
        jobs = [
            ("completed", None, begins, 10),
            ("failed", begins, ends, None),
            ("completed", None, ends, 5),
        ]
        for status, due, at, size in jobs:
            await connection.execute(_JOB, {"status": status, "due": due, "at": at, "size": size})
        hourly = Cron("0 * * * *", "Europe/Vienna")
        await note_missed(connection, "app", "verify", hourly, begins, ends)
        await note_missed(connection, "app", "verify", hourly, begins, ends)  # by another replica, a moment later
    found = {(each.day, each.kind): each for each in await count(control, "app", [begin for _, begin in days])}
    assert {key: (each.completed, each.failed, each.missed) for key, each in found.items()} == {
        (2, "backup"): (1, 1, 0),
        (2, "verify"): (0, 0, hours),
        (3, "backup"): (1, 0, 0),
    }
    assert (found[2, "backup"].bytes, found[2, "backup"].seconds) == (10, 30)


async def test_they_are_told(service: Service) -> None:
    """The next five runs in the target's zone, none of what is off; today as one of the days, with what was missed."""
    async with admin_of(service) as api:
        change = {"timezone": "Europe/Vienna", "schedule": "30 2 * * *", "verify_schedule_enabled": True}
        assert (await api.put("/api/backup/settings", json=change)).status_code == 200
        told = (await api.get("/api/backup/schedule/next")).json()
        by_kind = {each["kind"]: each for each in told["schedules"]}
        assert (told["timezone"], by_kind["drill"]["enabled"], by_kind["drill"]["due"]) == ("Europe/Vienna", False, [])
        due = [datetime.fromisoformat(each) for each in by_kind["backup"]["due"]]
        assert len(due) == 5
        assert due == sorted(due)
        assert all(f"{each.astimezone(VIENNA):%M}" in {"30", "00"} for each in due)  # 00: the clock skips half past two
        now = datetime.now(UTC)
        async with service.control.connection() as connection:
            await connection.execute("INSERT INTO kleidia_backup.missed_runs VALUES ('app', 'backup', %s)", (now,))
        told = (await api.get("/api/backup/statistics", params={"days": 7})).json()
        states = [each["state"] for each in told["days"]]
        assert states == ["none"] * 6 + ["missed"]
        assert told["days"][-1]["jobs"][0]["missed"] == 1
        assert (await api.get("/api/backup/statistics", params={"days": 367})).status_code == 422
