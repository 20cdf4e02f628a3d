"""The rate that a limit lets pass, learnt from what it refuses: on servers that are made up."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kleidia_backup.stages.load.pace import LIFTED, Pace

#: Takes the moment of a request; None lets it pass, else it is refused: the seconds until it may be asked again.
Limit = Callable[[float], float | None]


def quota(number: int, interval: float, begins: float = 0.0) -> Limit:
    """So many in each interval, as OpenBao counts them; it says in how many seconds the next begins, rounded down."""
    used: dict[int, int] = {}

    def ask(now: float) -> float | None:
        tick = int((now - begins) // interval)
        used[tick] = used.get(tick, 0) + 1
        return None if used[tick] <= number else float(int(begins + (tick + 1) * interval - now))

    return ask


def bucket(rate: float, burst: float) -> Limit:
    """A token bucket, as proxies have."""
    tokens, at = burst, 0.0

    def ask(now: float) -> float | None:
        nonlocal tokens, at
        tokens, at = min(burst, tokens + (now - at) * rate), now
        if tokens < 1:
            return 0.0
        tokens -= 1
        return None

    return ask


@dataclass
class Trial:
    """Twenty workers, each of which asks again as soon as it may; an answer takes ``away`` seconds."""

    limit: Limit
    away: float = 0.002
    workers: int = 20
    told: bool = True
    seed: int = 1
    pace: Pace = field(default_factory=Pace)
    passed: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    def run(self, total: int) -> None:
        """Until so many have passed. As the gate does it: while nothing passes, one at a time tries."""
        chance, pace = random.Random(self.seed), self.pace
        events: list[tuple[float, int, str, int, float | None]] = []
        number = rounds = under_way = 0
        closed, trying, now = 0.0, False, 1.0
        waiting = self.workers

        def at(moment: float, what: str, round_: int, said: float | None = None) -> None:
            nonlocal number
            number += 1
            heapq.heappush(events, (moment, number, what, round_, said))

        while len(self.passed) < total:
            if trying and waiting and not under_way:
                waiting, under_way = waiting - 1, under_way + 1
                at(max(now, closed), "send", rounds)
            elif not trying:
                for _ in range(waiting):
                    pause, mine = pace.take(now)
                    at(now + pause, "take", rounds if mine else -1)
                waiting = 0
            now, _, what, round_, said = heapq.heappop(events)
            if what == "take":
                if round_ != rounds or trying:
                    waiting += 1
                else:
                    under_way += 1
                    at(now + self.away / 2, "send", round_)
            elif what == "send":
                answer = self.limit(now)
                became = "passed" if answer is None else "refused"
                at(now + self.away * chance.uniform(0.4, 0.6), became, round_, answer)
            elif what == "passed":
                self.passed.append(now)
                pace.passed(now, current=round_ == rounds)
                trying = trying and round_ != rounds
                under_way, waiting = under_way - 1, waiting + 1
            else:
                self.refused.append(now)
                under_way, waiting = under_way - 1, waiting + 1
                first = round_ == rounds
                if first or trying:
                    wait = pace.refused(now, said if self.told else None, again=not first)
                    chosen = chance.uniform(0, 0.5) + said if said else (wait or 0.0)
                    closed = now + chosen if first else closed
                    rounds, trying = rounds + first, True

    def used(self, rate: float) -> float:
        """The share of a limit that was used."""
        return len(self.passed) / ((self.passed[-1] - 1.0) * rate)

    def share_refused(self) -> float:
        return len(self.refused) / (len(self.refused) + len(self.passed))


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("away", [0.001, 0.01, 0.05])
@pytest.mark.parametrize(("number", "interval"), [(100, 1.0), (20, 1.0), (1000, 60.0), (50, 10.0), (300, 1.0)])
def test_nine_tenths_of_a_quota_are_used(number: int, interval: float, away: float, told: bool) -> None:
    """And at most one request in ten is refused, whether or not the server says when to ask again."""
    for seed in range(5):
        trial = Trial(quota(number, interval, begins=1.0 - 0.37 * interval), away=away, told=told, seed=seed)
        trial.run(max(600, int(30 * number / interval), 3 * number))
        assert trial.used(number / interval) >= 0.9
        assert trial.share_refused() <= 0.1


@pytest.mark.parametrize("burst", [5, 20, 100])
@pytest.mark.parametrize("rate", [20, 100])
def test_nine_tenths_of_a_token_bucket_are_used(rate: int, burst: int) -> None:
    """Which lets a request pass as soon as there is a token again."""
    trial = Trial(bucket(rate, burst))
    trial.run(40 * rate)
    assert trial.used(rate) >= 0.9
    assert trial.share_refused() <= 0.1


def test_three_a_minute() -> None:
    """All of them are used, and the rate is known after the first minute."""
    trial = Trial(quota(3, 60.0, begins=1.0))
    trial.run(30)
    assert trial.passed[-1] <= 1.0 + 11 * 60
    assert trial.pace.lets_pass(trial.passed[-1], 0.0) == pytest.approx(3 / 60, rel=0.25)


def test_a_quota_that_is_lowered_and_raised_is_followed() -> None:
    """To a fifth, and to four times that: nine tenths of each are used again within a minute."""
    rates = {0: quota(100, 1.0), 1: quota(20, 1.0), 2: quota(80, 1.0)}
    trial = Trial(lambda now: rates[min(2, int(now // 60))](now))
    trial.run(60 * 100 + 60 * 20 + 55 * 80)
    for begin, rate in ((0, 100), (60, 20), (120, 80)):
        late = [each for each in trial.passed if begin + 45 <= each < begin + 60]
        assert len(late) >= 0.9 * 15 * rate


def test_without_refusals_there_is_no_limit_any_more() -> None:
    """A server that refused for two seconds is given as much as before soon after."""
    trial = Trial(lambda now: 0.0 if 2.0 <= now < 4.0 else None)
    trial.run(100_000)
    after = [each for each in trial.passed if each >= 4.0]
    assert trial.pace.rate == 0.0
    assert after[9_999] - 4.0 <= 10.0
    assert (after[-1] - after[-10_000]) <= 1.1 * (10_000 * trial.away / trial.workers)


@given(
    steps=st.lists(
        st.tuples(
            st.floats(0.0001, 100),
            st.sampled_from(["passed", "late", "take", "refused", "again"]),
            st.sampled_from([None, 0.0, 1.0, 59.0]),
        ),
        max_size=200,
    )
)
def test_whatever_happens_the_rate_is_one(steps: list[tuple[float, str, float | None]]) -> None:
    """Never negative, and every pause is some time."""
    pace, now, blocked = Pace(), 1.0, False
    for later, what, asked in steps:
        now += later
        if what in {"passed", "late"}:
            pace.passed(now, current=what == "passed")
            blocked = blocked and what != "passed"
        elif what == "take" and not blocked:
            assert 0 <= pace.take(now)[0] <= 0.5
        elif what == "refused" or (what == "again" and blocked):
            pause = pace.refused(now, asked, again=what == "again")
            blocked = True
            assert pause is None or pause > 0
        assert pace.rate >= 0
        assert pace.lets_pass(now, 0.0) >= 0
        assert pace.rate <= LIFTED * max(pace.lets_pass(now, 0.0), 1e-9)
