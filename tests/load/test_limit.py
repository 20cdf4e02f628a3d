"""The limit of requests at once, on servers that are made up; and the token bucket."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kleidia_backup.stages.load.limit import FEW, STALE, LatencyLimit
from kleidia_backup.stages.load.rate import TokenBucket

#: Takes a moment, and gives the seconds that the server works on a request then.
Work = Callable[[float], float]


@dataclass
class Server:
    """Works on ``cores`` requests at a time, first come first served, and is ``away`` seconds away (there and back).

    ``others`` are requests of somebody else that come each second.
    """

    cores: int
    work: Work
    away: float = 0.0
    others: float = 0.0
    jitter: float = 0.2
    seed: int = 1
    #: How long each of the others' requests took, and the number of ours that were answered.
    waits: list[float] = field(default_factory=list)
    answered: int = 0
    limits: list[tuple[float, int]] = field(default_factory=list)

    def run(self, limit: LatencyLimit | None, workers: int, seconds: float) -> None:
        """Let ``workers`` of ours ask as often as the limit lets them."""
        chance = random.Random(self.seed)
        events: list[tuple[float, int, str, tuple[float, int]]] = []
        queue: deque[tuple[str, tuple[float, int]]] = deque()
        busy = under_way = number = 0

        def at(moment: float, what: str, about: tuple[float, int]) -> None:
            nonlocal number
            number += 1
            heapq.heappush(events, (moment, number, what, about))

        def send(now: float) -> None:
            nonlocal under_way
            while under_way < (workers if limit is None else min(workers, limit.limit)):
                under_way += 1
                at(now + self.away / 2, "ours", (now, under_way))

        if self.others:
            at(chance.expovariate(self.others), "theirs", (0.0, 0))
        send(0.0)
        now = 0.0
        while events and now < seconds:
            now, _, what, about = heapq.heappop(events)
            if what == "theirs":
                at(now + chance.expovariate(self.others), "theirs", (0.0, 0))
                queue.append(("theirs done", (now, 0)))
            elif what == "ours":
                queue.append(("ours done", about))
            elif what == "answer":
                under_way -= 1
                self.answered += 1
                if limit is not None and limit.answered("read", began=about[0], now=now, under_way=about[1]):
                    self.limits.append((now, limit.limit))
                send(now)
            else:
                busy -= 1
                if what == "theirs done":
                    self.waits.append(now - about[0])
                else:
                    at(now + self.away / 2, "answer", about)
            while queue and busy < self.cores:
                kind, about = queue.popleft()
                busy += 1
                at(now + self.work(now) * chance.uniform(1 - self.jitter, 1 + self.jitter), kind, about)

    def p99(self) -> float:
        return sorted(self.waits)[int(0.99 * len(self.waits))]


def steady(seconds: float) -> Work:
    """Always as quick."""
    return lambda _: seconds


@pytest.mark.parametrize("cores", [1, 2, 4, 8])
@pytest.mark.parametrize("away", [0.0, 0.0005, 0.002])
def test_the_rate_of_an_idle_server_is_kept(cores: int, away: float) -> None:
    """At least 0.97 of what 20 workers get without a limit, wherever the server is; half of it is a network."""
    free = Server(cores, steady(0.001), away)
    free.run(None, 20, 20.0)
    limited = Server(cores, steady(0.001), away)
    limited.run(LatencyLimit(20), 20, 20.0)
    assert limited.answered >= 0.97 * free.answered


def test_far_away_all_workers_are_used() -> None:
    """Where the network takes most of the time none of ours waits at the server."""
    limit = LatencyLimit(20)
    Server(8, steady(0.001), away=0.05).run(limit, 20, 20.0)
    assert limit.limit == 20


@pytest.mark.parametrize("cores", [1, 2, 4])
def test_others_wait_less(cores: int) -> None:
    """Another client's p99 is at most half of what it is with 20 workers, at no less of a rate for ours."""
    free = Server(cores, steady(0.001), others=20)
    free.run(None, 20, 60.0)
    limit = LatencyLimit(20)
    limited = Server(cores, steady(0.001), others=20)
    limited.run(limit, 20, 60.0)
    assert limited.p99() <= 0.5 * free.p99() + (0 if cores < 4 else 0.1 * free.p99())
    assert limited.answered >= 0.97 * free.answered
    assert limit.slowed or limit.limit < 20


def test_a_server_that_becomes_slow_is_given_less() -> None:
    """From four requests at a time to one tenth of the speed: the limit goes down, and up again afterwards."""
    limit = LatencyLimit(20)
    server = Server(16, lambda now: 0.01 if 10 < now < 20 else 0.001)
    server.run(limit, 20, 40.0)
    at = {moment: [each for when, each in server.limits if when <= moment][-1] for moment in (9.9, 19.9, 39.9)}
    assert at[9.9] >= 15
    assert at[19.9] <= 6
    assert at[39.9] >= 15


def test_a_server_that_stays_slow_is_used_as_it_is() -> None:
    """After the unhurried time was measured again, what is slow for good holds nobody up."""
    limit = LatencyLimit(20)
    server = Server(16, lambda now: 0.01 if now > 5 else 0.001)
    server.run(limit, 20, 5 + 3 * STALE)
    assert limit.limit >= 15


@given(
    most=st.integers(1, 128),
    answers=st.lists(
        st.tuples(st.sampled_from(["read", "list"]), st.floats(0, 100), st.floats(0, 10), st.integers(1, 128)),
        max_size=300,
    ),
)
def test_it_stays_within_its_limits(most: int, answers: list[tuple[str, float, float, int]]) -> None:
    """Whatever times it is told."""
    limit, now = LatencyLimit(most), 1.0
    for kind, took, later, under_way in answers:
        now += later
        before = limit.limit
        changed = limit.answered("list" if kind == "list" else "read", began=now - took, now=now, under_way=under_way)
        assert changed == (limit.limit != before)
        assert min(FEW, most) <= limit.limit <= most


@given(
    rate=st.floats(0.1, 1e6),
    burst=st.integers(1, 100),
    steps=st.lists(st.tuples(st.floats(0, 5), st.floats(0.01, 50)), min_size=1, max_size=100),
)
def test_a_bucket_never_lets_more_pass(rate: float, burst: int, steps: list[tuple[float, float]]) -> None:
    """In no span of time more than its burst and what the rate makes in it, if everybody waits as told."""
    bucket, now = TokenBucket(rate, burst), 1.0
    passed: list[tuple[float, float]] = []
    for later, amount in steps:
        now += later
        passed.append((now + bucket.take(amount, now), amount))
    for first, (begun, alone) in enumerate(passed):
        total = 0.0
        for moment, amount in passed[first:]:
            total += amount
            allowed = max(burst, alone) + (moment - begun) * rate
            assert total - amount <= allowed * (1 + 1e-9) + 1e-6


def test_a_bucket_is_no_slower_than_its_rate() -> None:
    """A thousand requests at 100 a second take ten seconds, less the burst."""
    bucket, now = TokenBucket(100, 10), 5.0
    for _ in range(1000):
        now += bucket.take(1, now)
    assert now - 5.0 == pytest.approx(9.9, rel=1e-3)
