"""How many requests may be under way together: as many as a server works on, and a few that wait.

A server that is given more than it can work on answers no more a second: the rest waits in its queue, and so does
everybody else's request. How many of ours wait there is estimated as TCP Vegas does it, from the time that answers take
now and the time that they took when next to none was under way: of ``n`` requests, ``n · (1 - then / now)`` wait. The
limit goes up by one while fewer than ``LEAST_WAITING`` do, and down by one while more than ``MOST_WAITING`` do. It
begins at ``FEW`` and doubles until the first of them waits (slow start). Every half minute it is ``FEW`` again for some
answers, to learn anew what an unhurried answer takes (BBR's PROBE_RTT).

Sources: L. Brakmo, L. Peterson: TCP Vegas (1995); N. Cardwell et al.: BBR (2016); Netflix's concurrency-limits, which
does the same for calls. Pure: it is told the time, so that it can be tried on a server that is made up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Literal, TypeAlias

#: Requests under way while an unhurried answer is measured.
FEW = 2
#: Of ours, in the server's queue: below the first the limit goes up, above the second down.
LEAST_WAITING, MOST_WAITING = 3.0, 6.0
#: Answers of a window, at least; and of one kind in it, for their median to count.
WINDOW, COUNTED = 8, 4
#: Seconds after which the unhurried time is measured again, and at least as many of those times: what that costs stays
#: below two in a hundred of the requests.
STALE, RARELY = 30.0, 400

#: Requests of one kind take about the same time.
Kind: TypeAlias = Literal["read", "list"]


@dataclass(slots=True)
class _Unhurried:
    """The shortest median of a window, and when it was seen."""

    seconds: float
    at: float


@dataclass(slots=True)
class LatencyLimit:
    """The limit, between ``FEW`` and ``most``. ``slowed`` counts how often it went down because answers were slow."""

    most: int
    slowed: int = 0
    _limit: int = field(init=False)
    _starting: bool = True
    _resumed: int = 0  # the limit from before a measurement, while there is one
    _changed: float = 0.0
    _window: dict[Kind, list[float]] = field(default_factory=dict)
    _full: bool = False  # whether as many as may be were under way in this window
    _unhurried: dict[Kind, _Unhurried] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._limit = min(FEW, self.most)

    @property
    def limit(self) -> int:
        """How many may be under way together."""
        return self._limit

    def answered(self, kind: Kind, *, began: float, now: float, under_way: int) -> bool:
        """An answer came, to a request that began when ``under_way`` were, itself included; whether the limit changed.

        Times are of one clock, in seconds. What began before the last change says nothing of what is now.
        """
        if began < self._changed:
            return False
        self._window.setdefault(kind, []).append(max(now - began, 1e-9))
        self._full = self._full or under_way >= self._limit
        if sum(map(len, self._window.values())) < max(WINDOW, self._limit):
            return False
        before = self._limit
        self._judge(now)
        self._window.clear()
        self._full = False
        if self._limit != before:
            self._changed = now
        return self._limit != before

    def _judge(self, now: float) -> None:
        medians = {kind: median(times) for kind, times in self._window.items() if len(times) >= COUNTED}
        if self._resumed:  # it was measured: that counts from now on, also where it is longer
            self._unhurried.update({kind: _Unhurried(seconds, now) for kind, seconds in medians.items()})
            self._limit, self._resumed = self._resumed, 0
            return
        for kind, seconds in medians.items():
            if kind not in self._unhurried or seconds <= self._unhurried[kind].seconds:
                self._unhurried[kind] = _Unhurried(seconds, now)
        if not medians:
            return
        if not self._starting and self._limit > FEW and self._is_stale(medians, now):
            self._resumed, self._limit = self._limit, FEW
            return
        self._follow(self._limit * (1 - 1 / self._slowness(medians)))

    def _follow(self, waiting: float) -> None:
        """Go up or down by what waits at the server."""
        if waiting > MOST_WAITING:
            self._starting = False
            if self._limit > FEW:
                self._limit -= 1
                self.slowed += 1
        elif waiting < LEAST_WAITING and self._full and self._limit < self.most:
            self._limit = min(self.most, self._limit * 2 if self._starting else self._limit + 1)
        elif waiting >= LEAST_WAITING or self._limit == self.most:
            self._starting = False

    def _slowness(self, medians: dict[Kind, float]) -> float:
        """How many times as long answers take as unhurried ones, 1 or more; kinds count by their number."""
        counted = sum(len(self._window[kind]) for kind in medians)
        shares = (
            len(self._window[kind]) / counted * seconds / self._unhurried[kind].seconds
            for kind, seconds in medians.items()
        )
        return max(1.0, sum(shares))

    def _is_stale(self, medians: dict[Kind, float], now: float) -> bool:
        return any(now - (known := self._unhurried[kind]).at > max(STALE, RARELY * known.seconds) for kind in medians)
