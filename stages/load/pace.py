"""The rate that a server's rate limit lets pass, learnt from what it refuses.

A limit is a number of requests in an interval, and neither is told. Who sends as fast as he can has used it up at once,
and each of twenty workers that asks again meanwhile is refused. So, after the first refusal, the rate is what passed
from the beginning until the server took requests again; requests are sent evenly at a little less, and the rate goes
up along a cubic curve: quickly to where the last refusal was, slowly around there, and quickly away from it where
nothing is refused any more, until there is no limit left to keep to. A quota is then used to nine tenths and more,
and few requests are refused (``tests/load/test_pace.py``).

Sources: S. Ha, I. Rhee, L. Xu: CUBIC (2008), and RFC 9438; the adaptive retries of AWS's SDKs, which do the same with
the rate of calls, and drop it by three tenths at each refusal. Pure: it is told the time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .rate import TokenBucket

#: By which share of itself the rate drops at a refusal.
DROP = 0.05
#: Requests that passed, and seconds, after which the rate is again what it was at the last refusal: what is first.
PASSES, SECONDS = 200, 10.0
#: Times the rate of the last refusal at which there is no limit any more.
LIFTED = 8.0
#: Seconds between two tries while nothing passes, where the server says that it takes less than one more: first, most.
_SOON, _LATER = 0.1, 0.2
#: Requests, or seconds, in which a much lower rate is believed.
_PASSED, _LONG = 10, 1.0
#: Where no more than these pass between two refusals, the rate is much too high.
_AT_ONCE = 2
#: Seconds over which a rate is measured, at least; twice the last block where that was longer.
_SPAN = 2.0
_INSTANT = 1e-3


@dataclass(slots=True)
class Pace:
    """``rate`` is requests a second, 0 while no limit is known. Times are of one clock, in seconds, and never 0."""

    rate: float = 0.0
    #: When the first request was refused; 0 when none was since there was no limit.
    since: float = 0.0
    _bucket: TokenBucket = field(default_factory=lambda: TokenBucket(1.0, 1.0))
    _plateau: float = 0.0  # the rate at which it was refused last
    _began: float = 0.0  # when the last block ended, or the first request was answered
    _passed: int = 0  # how many passed since then
    # By what passed in the present and the last of such times the rate is measured: when they began, and how many did.
    _times: tuple[float, float] = (0.0, 0.0)
    _counts: tuple[int, int] = (0, 0)
    _block: float = 0.0  # when the present block began: nothing passes; 0 outside of one
    _tries: int = 0  # in it
    _earliest: float = 0.0  # when it ends, at the earliest and at the latest, by what is known
    _latest: float = math.inf
    _span: float = _SPAN

    def take(self, now: float) -> float:
        """The seconds to wait before a request is sent. Not to be asked while nothing passes."""
        if not self.rate:
            return 0.0
        self._grow(now)
        if not self.rate:
            return 0.0
        self._bucket.rate = self.rate
        return self._bucket.take(1, now)

    def passed(self, now: float, *, current: bool) -> None:
        """A request was not refused; ``current``: it was sent after the last refusal."""
        self._begin(now)
        if self._block and current:
            self._resume(now)
        self._passed += 1
        if now - self._times[1] > self._span:
            self._times, self._counts = (self._times[1], now), (self._counts[1], 0)
        self._counts = self._counts[0], self._counts[1] + 1

    def refused(self, now: float, asked: float | None, *, again: bool = False) -> float | None:
        """A request was refused; the seconds until the next try, None where nothing is known of them.

        ``asked`` are those that the server asked for, in whole seconds and rounded down. ``again``: it was sent before
        the last refusal.
        """
        self._begin(now)
        if not self._block:
            self.since = self.since or now
            self._block, self._tries, self._latest = now, 0, math.inf
            self._earliest = now
        self._earliest = max(self._earliest, now + (asked or 0))
        if asked is not None:
            self._latest = min(self._latest, now + asked + 1)
        if asked:
            return asked
        if again or (asked is None and not self.rate):
            return None
        first = min(_SOON, 1 / self.rate) if self.rate else _SOON
        pause = first * (2.0 if asked is None else 1.5) ** min(self._tries, 64)
        self._tries += 1
        return pause if asked is None else min(pause, _LATER)

    def _begin(self, now: float) -> None:
        if not self._began:
            self._began, self._times, self._counts = now, (now, now), (0, 0)

    def lets_pass(self, now: float, pause: float) -> float:
        """The requests a second that pass, as far as it is known, when none will for the next ``pause`` seconds."""
        if self.rate:
            return max(self.rate, self._plateau)
        return sum(self._counts) / max(now + pause - self._times[0], _INSTANT) if self._began else 0.0

    def _resume(self, now: float) -> None:
        """The block is over: what passed did so in the time until now, or until the moment at which it ended."""
        earliest = min(now, self._earliest) - self._times[0]
        latest = min(now, max(self._earliest, self._latest)) - self._times[0]
        count = sum(self._counts)
        measured = max(1, count) / math.sqrt(max(earliest, _INSTANT) * max(latest, _INSTANT))
        believed = count >= _PASSED or latest >= _LONG
        if not self.rate or (believed and measured < 0.9 * self.rate):
            self._plateau = measured
        else:
            self._plateau = max(self.rate / 2, measured) if self._passed <= _AT_ONCE else self.rate
        if believed:
            self._times, self._counts = (now, now), (0, 0)
        self._span = max(_SPAN, 2 * (now - self._block))
        self._began, self._passed, self._block = now, 0, 0.0
        self.rate = self._plateau * (1 - DROP)
        self._bucket = TokenBucket(self.rate, 1.0)
        self._bucket.take(1, now)  # the one that has just passed

    def _grow(self, now: float) -> None:
        way = max(self._passed / PASSES, (now - self._began) / max(SECONDS, self._span))
        self.rate = self._plateau * (1 + DROP * (way - 1) ** 3)
        if self.rate > LIFTED * self._plateau:
            self.rate, self.since = 0.0, 0.0
            self._began, self._passed = 0.0, 0
            self._begin(now)
