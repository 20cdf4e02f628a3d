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
#: By which share of a block the pauses grow, while no rate is known.
_GROWTH = 0.3
#: Requests, or seconds, in which a much lower rate is believed.
_PASSED, _LONG = 10, 1.0
#: Requests at the rate of the last refusal that take at least as long as ``SECONDS`` there.
_FEW = 10
#: Where no more than these pass between two refusals, the rate is much too high.
_AT_ONCE = 2
#: Times that are remembered, at most, and the seconds of each at first.
_TIMES, _WIDTH = 128, 0.02
#: Seconds before a turn in which it may be taken.
_AHEAD = 0.5
_INSTANT = 1e-3


@dataclass(slots=True)
class History:
    """How many requests passed in which times, since ``began``: short times at first, and longer ones when it grows."""

    began: float = 0.0
    count: int = 0
    _times: list[list[float]] = field(default_factory=list)  # when each began, and how many passed in it
    _width: float = _WIDTH

    def add(self, now: float) -> None:
        """One passed."""
        self.count += 1
        if self._times and now - self._times[-1][0] < self._width:
            self._times[-1][1] += 1
            return
        self._times.append([now, 1])
        if len(self._times) > _TIMES:
            pairs = zip(self._times[::2], [*self._times[1::2], [0.0, 0]], strict=False)
            self._times = [[begun, number + more] for (begun, number), (_, more) in pairs]
            self._width *= 2

    def rate(self, until: float, block: float) -> float:
        """The requests a second that passed in some time until a block began, and the seconds of the block.

        In that time for which it is highest: a limit lets so many pass in any of its intervals, and before it may have
        been a time in which nothing was sent.
        """
        highest = number = 0.0
        for begun, more in reversed(self._times):
            number += more
            highest = max(highest, number / (max(until - begun, 0.0) + block))
        return highest or 1 / (max(until - self.began, 0.0) + block)


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
    _history: History = field(default_factory=History)
    _block: float = 0.0  # when the present block began: nothing passes; 0 outside of one
    _tries: int = 0  # in it
    _earliest: float = 0.0  # when it ends, at the earliest and at the latest, by what is known
    _latest: float = math.inf
    _unit: float = SECONDS

    def take(self, now: float) -> tuple[float, bool]:
        """The seconds to wait, and whether a request may be sent then; else ask again. Not while nothing passes.

        Nobody has a turn long before it comes, for the rate may change.
        """
        if self.rate:
            self._grow(now)
        if not self.rate:
            return 0.0, True
        self._bucket.rate = self.rate
        if self._bucket.due(1, now) > _AHEAD:
            return _AHEAD / 2, False
        return self._bucket.take(1, now), True

    def passed(self, now: float, *, current: bool) -> None:
        """A request was not refused; ``current``: it was sent after the last refusal."""
        self._begin(now)
        if self._block and current:
            self._resume(now)
        self._passed += 1
        self._history.add(now)

    def refused(self, now: float, asked: float | None, *, again: bool = False) -> float | None:
        """A request was refused; the seconds until the next try, None where another one has said so.

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
        if again:
            return None
        if not self.rate:  # so that the end of the block, and with it the rate, is known to a third
            pause = _SOON + _GROWTH * (now - self._block)
        else:
            pause = min(_SOON, 1 / self.rate) * 2.0 ** min(self._tries, 64)
        self._tries += 1
        return pause if asked is None else min(pause, _LATER)

    def _begin(self, now: float) -> None:
        if not self._began:
            self._began, self._history = now, History(now)

    def lets_pass(self, now: float, pause: float) -> float:
        """The requests a second that pass, as far as it is known, when none will for the next ``pause`` seconds."""
        if self.rate:
            return max(self.rate, self._plateau)
        return self._history.rate(self._block, max(now + pause - self._block, _INSTANT)) if self._block else 0.0

    def _resume(self, now: float) -> None:
        """The block is over: what passed did so in the time until now, or until the moment at which it ended."""
        earliest = min(now, self._earliest) - self._block
        latest = min(now, max(self._earliest, self._latest)) - self._block
        # Where no rate is known, rather one that is too high: that is found out at once.
        block = max(earliest, latest / (1 + _GROWTH)) if not self.rate else math.sqrt(max(earliest, _INSTANT) * latest)
        measured = self._history.rate(self._block, max(block, _INSTANT))
        believed = self._history.count >= _PASSED or now - self._history.began >= _LONG
        if not self.rate or (believed and measured < 0.9 * self.rate):
            self._plateau = measured
        else:
            self._plateau = max(self.rate / 2, measured) if self._passed <= _AT_ONCE else self.rate
        if believed:
            self._history = History(now)
        self._unit = max(SECONDS, 2 * (now - self._block), _FEW / self._plateau)
        self._began, self._passed, self._block = now, 0, 0.0
        self.rate = self._plateau * (1 - DROP)
        self._bucket = TokenBucket(self.rate, 1.0)
        self._bucket.take(1, now)  # the one that has just passed

    def _grow(self, now: float) -> None:
        way = max(self._passed / PASSES, (now - self._began) / self._unit)
        self.rate = self._plateau * (1 + DROP * (way - 1) ** 3)
        if self.rate > LIFTED * self._plateau:
            self.rate, self.since = 0.0, 0.0
            self._began, self._passed = 0.0, 0
            self._begin(now)
