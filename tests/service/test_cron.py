"""When a schedule is due: five fields, a time zone, and the two days on which its clock jumps."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kleidia_backup.config.retention.zones import zone
from kleidia_backup.service.control.cron import Cron
from kleidia_backup.stages.errors import ConfigurationError, KleidiaError

BERLIN = "Europe/Berlin"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def dues(cron: Cron, start: str, end: str) -> list[str]:
    """Every due time in a span, by walking ``after``."""
    found, moment = [], utc(start)
    while (moment := cron.after(moment)) < utc(end):
        found.append(f"{moment:%m-%d %H:%M}")
    return found


def test_zones_are_known_where_the_system_has_no_files_of_them() -> None:
    """A slim image: tzdata, which comes with the service, has them."""
    program = "import sys; from kleidia_backup.service.control.cron import zone; sys.exit(str(zone('Europe/Berlin')))"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONTZPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == "Europe/Berlin\n"


def test_the_default_is_two_in_the_night() -> None:
    """`0 2 * * *` in UTC is due at 02:00 each day, and the next a day later."""
    cron = Cron("0 2 * * *")
    assert cron.after(utc("2026-01-05T01:59:59")) == utc("2026-01-05T02:00")
    assert cron.after(utc("2026-01-05T02:00")) == utc("2026-01-06T02:00")
    assert cron.before(utc("2026-01-05T02:00")) == utc("2026-01-05T02:00")
    assert cron.before(utc("2026-01-05T01:59:59.999999")) == utc("2026-01-04T02:00")


def test_a_time_that_spring_skips_runs_when_the_clock_moved_on() -> None:
    """29 March 2026, Berlin: 02:30 does not exist; the run is at 03:00 CEST (01:00 UTC), once, and daily around it."""
    cron = Cron("30 2 * * *", BERLIN)
    assert dues(cron, "2026-03-27T12:00", "2026-03-31T12:00") == [
        "03-28 01:30",
        "03-29 01:00",
        "03-30 00:30",
        "03-31 00:30",
    ]


def test_a_time_that_autumn_has_twice_runs_at_its_first() -> None:
    """25 October 2026, Berlin: 02:30 comes twice; the run is at the first (00:30 UTC), not at 01:30 UTC again."""
    cron = Cron("30 2 * * *", BERLIN)
    assert dues(cron, "2026-10-23T12:00", "2026-10-27T12:00") == [
        "10-24 00:30",
        "10-25 00:30",
        "10-26 01:30",
        "10-27 01:30",
    ]


@pytest.mark.parametrize("now", ["2026-10-25T00:31", "2026-10-25T01:15", "2026-10-25T01:29:59", "2026-10-25T01:31"])
def test_in_the_hour_that_comes_again_nothing_is_due_again(now: str) -> None:
    """Asked between the two 02:30, and in the second hour before its 02:30: next is tomorrow, last was the first."""
    cron = Cron("30 2 * * *", BERLIN)
    assert cron.after(utc(now)) == utc("2026-10-26T01:30")
    assert cron.before(utc(now)) == utc("2026-10-25T00:30")


def test_two_times_that_spring_moves_to_one_are_one() -> None:
    """02:00 and 02:30 both move to 03:00 on the day of the jump: due once."""
    assert dues(Cron("0,30 2 * * *", BERLIN), "2026-03-28T12:00", "2026-03-29T12:00") == ["03-29 01:00"]


def test_schedules_with_a_star_follow_the_elapsed_time() -> None:
    """Debian's rule: `30 * * * *` runs every 60 minutes, through both jumps."""
    cron = Cron("30 * * * *", BERLIN)
    spring = dues(cron, "2026-03-29T00:00", "2026-03-29T03:00")
    autumn = dues(cron, "2026-10-25T00:00", "2026-10-25T03:00")
    assert spring == ["03-29 00:30", "03-29 01:30", "03-29 02:30"]
    assert autumn == ["10-25 00:30", "10-25 01:30", "10-25 02:30"]


def test_a_midnight_that_does_not_exist_is_one_o_clock() -> None:
    """Cairo jumps at midnight (24 April 2026): `0 0 * * *` runs at 01:00 there, which is 22:00 UTC."""
    assert dues(Cron("0 0 * * *", "Africa/Cairo"), "2026-04-23T12:00", "2026-04-25T12:00") == [
        "04-23 22:00",
        "04-24 21:00",
    ]


def test_weekdays_only() -> None:
    """The run after Friday's is Monday's."""
    assert Cron("0 2 * * 1-5").after(utc("2026-01-09T02:00")) == utc("2026-01-12T02:00")


def test_rare_days_are_found() -> None:
    """29 February, the last weekday of a month, and the fifth Monday of a February exist."""
    assert Cron("0 0 29 2 *").after(utc("2026-01-01T00:00")) == utc("2028-02-29T00:00")
    assert Cron("0 0 LW 2 *").after(utc("2026-01-01T00:00")) == utc("2026-02-27T00:00")
    assert Cron("0 0 * 2 MON#5").after(utc("2026-01-01T00:00")) == utc("2044-02-29T00:00")


@pytest.mark.parametrize("text", ["0 0 31 2 *", "0 0 30,31 2 *", "0 0 31 4,6,9,11 *", "0 0 */31 2 1#5"])
def test_a_schedule_that_is_never_due_is_refused(text: str) -> None:
    """A 31st of February is said at once, not found out by waiting."""
    with pytest.raises(ConfigurationError, match="schedule") as caught:
        Cron(text)
    assert "0 2 * * *" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "0 0 2 * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "*/0 * * * *",
        "5-1 * * * *",
        "@daily",
        "x * * * *",
        "0 2 * * *\0",
        "0 ٢ * * *",
        "9" * 5000 + " * * * *",
        ",".join(["1"] * 5000) + " * * * *",
    ],
)
def test_what_is_no_five_fields_is_refused(text: str) -> None:
    """Seconds, macros, other digits, numbers out of range: refused with an example of what is taken."""
    with pytest.raises(ConfigurationError, match="schedule") as caught:
        Cron(text)
    assert "0 2 * * *" in caught.value.hint
    assert len(caught.value.message) < 100


@pytest.mark.parametrize(
    "name", ["", "Europe", "Europe/Paderborn", "../etc/passwd", "/etc/localtime", "localtime", "\0"]
)
def test_an_unknown_zone_is_refused(name: str) -> None:
    """Directories, paths and zones of the machine are no zones of a schedule."""
    with pytest.raises(ConfigurationError, match="timezone"):
        zone(name)


@given(
    st.sampled_from(["30 2 * * *", "*/7 * * * *", "15 */6 * * *", "0 0 1 * *", "0 2 * * 1-5", "0,30 2,3 * * *"]),
    st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Pacific/Apia"]),
    st.integers(0, 3 * 365 * 86400),
)
def test_before_and_after_agree(text: str, name: str, seconds: int) -> None:
    """At any moment: last <= now < next, nothing between them, and each finds the other."""
    cron, now = Cron(text, name), utc("2025-01-01T00:00") + timedelta(seconds=seconds)
    last, following = cron.before(now), cron.after(now)
    assert last <= now < following
    assert cron.after(last) == following
    assert cron.before(following - timedelta(microseconds=1)) == last
    assert cron.before(following) == following


@given(st.text(max_size=40) | st.from_regex(r"[0-9*/,#L-]{1,6}( [0-9*/,#LWA-F-]{1,6}){4}", fullmatch=True))
def test_any_text_is_taken_or_refused(text: str) -> None:
    """Nothing but our own error leaves the parser, whatever is typed into the field."""
    try:
        assert Cron(text).after(utc("2026-01-01T00:00")) > utc("2026-01-01T00:00")
    except KleidiaError:
        pass
