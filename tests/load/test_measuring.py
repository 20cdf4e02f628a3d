"""What a report says of a job's load."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kleidia_backup.pipeline.reports import words
from kleidia_backup.pipeline.reports.jobs import Progress
from kleidia_backup.stages.load.figures import NO_LOAD, DatabaseLoad, Load, VaultLoad
from kleidia_backup.stages.load.histogram import RESOLUTION, SHORTEST, Histogram
from kleidia_backup.stages.load.meter import Meter, measured, meter, transaction

TIMES = st.lists(st.floats(SHORTEST, 2000.0), min_size=1, max_size=200)


def histogram(times: list[float]) -> Histogram:
    """One with these times."""
    made = Histogram()
    for each in times:
        made.add(each)
    return made


@given(times=TIMES, share=st.floats(0.0, 1.0))
def test_a_quantile_is_never_too_small_and_at_most_a_sixteenth_too_large(times: list[float], share: float) -> None:
    """Against the same quantile of all the times themselves."""
    right = sorted(times)[max(1, ceil(share * len(times))) - 1]
    said = histogram(times).quantile(share)
    assert right <= said * (1 + 1e-12)
    assert said <= right * (1 + RESOLUTION) * (1 + 1e-12)


@given(times=st.lists(st.floats(0.0, 1e9), max_size=50))
def test_any_time_is_counted(times: list[float]) -> None:
    """Also one that is shorter or longer than the buckets are; and no quantile is longer than the longest."""
    made = histogram(times)
    assert made.count == len(times)
    assert made.longest == max(times, default=0.0)
    assert made.quantile(1.0) <= made.longest
    if made.longest > 5000:
        assert made.quantile(1.0) == made.longest


@given(first=TIMES, second=TIMES)
def test_two_joined_are_as_one(first: list[float], second: list[float]) -> None:
    """That counted both."""
    joined, both = histogram(first), histogram([*first, *second])
    joined.join(histogram(second))
    assert [joined.quantile(each / 10) for each in range(11)] == [both.quantile(each / 10) for each in range(11)]


def test_a_job_inside_a_job_is_counted_for_both() -> None:
    """A restore that backs up first has made the load of both; the backup's report has its own alone."""
    outer, inner = Meter(), Meter()
    with measured(outer):
        assert meter() is outer
        meter().begin()
        meter().end(0.004)
        with measured(inner):
            meter().begin()
            meter().end(0.008, refused=True)
            meter().paused(1.5)
            with transaction("shared"):
                pass
        assert meter() is outer
    whole, part = outer.load(), inner.load()
    assert whole.vault is not None
    assert part.vault is not None
    assert (whole.vault.requests, part.vault.requests) == (2, 1)
    assert (whole.vault.refused, whole.vault.paused) == (1, 1.5)
    assert part.vault.p50_ms == pytest.approx(8.0, rel=RESOLUTION)
    assert whole.vault.p50_ms == pytest.approx(4.0, rel=RESOLUTION)
    assert whole.database is not None
    assert whole.database == part.database


def test_outside_of_jobs_nothing_is_kept() -> None:
    """A client that is used alone counts for nobody."""
    meter().begin()
    meter().end(1.0)
    assert meter().load() == NO_LOAD


def test_in_words() -> None:
    """One line for each server, with what matters to who runs it."""
    vault = VaultLoad(requests=1204, p50_ms=0.8, p99_ms=17.4, longest_ms=1500, rate=480.4, at_once=20)
    database = DatabaseLoad(longest_transaction=12.3, locks_held=12.0)
    assert words.loads(Load(vault=vault, database=database)) == {
        "load on vault": "1,204 requests, 480 a second, at most 20 at once; answered in 0.8 ms (median), 17 ms (99 %)",
        "load on database": "longest transaction 12.3 s, tables locked for 12.0 s against changes of their definition "
        "alone (ACCESS SHARE)",
    }
    restored = DatabaseLoad(longest_transaction=12.3, locks_held=12.0, exclusive_locks_held=12.0)
    refused = VaultLoad(
        requests=7,
        p50_ms=0.8,
        p99_ms=1700,
        longest_ms=1700,
        rate=3,
        at_once=4,
        refused=3,
        paused=2,
        slowed=2,
        least_at_once=1,
    )
    lines = words.loads(Load(vault=refused, database=restored))
    assert "1.7 s (99 %)" in lines["load on vault"]
    assert "1 at once as answers became slower; 3 refused (429, 503), paused for 2.0 s" in lines["load on vault"]
    assert lines["load on database"].endswith("12.0 s of it against everybody (ACCESS EXCLUSIVE)")
    assert words.loads(NO_LOAD) == {}


def test_a_rate_limit_in_words() -> None:
    """The report and the progress say that the vault slows the job down, and to what."""
    limited = VaultLoad(
        requests=7, p50_ms=1, p99_ms=1, longest_ms=1, rate=0.05, at_once=1, refused=2, paused=57, lets_pass=0.05
    )
    line = words.loads(Load(vault=limited))["load on vault"]
    assert line.endswith(
        "2 refused (429, 503), paused for 57.0 s; slowed down by the vault (429) to 3 requests a minute"
    )
    running = Progress(phase="backup", seconds=60, secrets=4, vault_lets_pass=0.05)
    assert words.amounts(running)["secrets"] == "4, slowed down by the vault (429) to 3 requests a minute"
    unknown = Progress(phase="backup", seconds=1, vault_lets_pass=0.0)
    assert words.amounts(unknown)["secrets"] == "0, slowed down by the vault (429)"
