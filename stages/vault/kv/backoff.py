"""One gate for all requests to a vault: what the server refuses, how long it takes, and what the settings allow.

When the server says that it is too busy, twenty workers that each retry on their own keep it busy. So all requests
pass one gate: trouble closes it for all of them, for a time that doubles with each round, and halves how many may be
under way when it opens again; every success widens it by a little, as TCP does. Where answers get slower before
anything is refused, ``load/limit.py`` lowers the number too, and a token bucket keeps the rate that was set.

A rate limit (429) says nothing of how busy the server is: ``load/pace.py`` finds out which rate it lets pass. Until
something passes again, one request at a time tries.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from time import monotonic
from typing import Literal, TypeAlias, TypeVar, TypeVarTuple

import anyio

from ...load.in_time import InTime
from ...load.limit import Kind as Asked
from ...load.limit import LatencyLimit
from ...load.meter import meter
from ...load.pace import Pace
from ...load.rate import TokenBucket

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Kind: TypeAlias = Literal["busy", "error", "sealed", "standby", "unreachable"]

#: Attempts at one request while others succeed; then it is the request, not the server.
ATTEMPTS = 5
#: Seconds in which all workers begin, one after the other: so that few are refused where a rate limit lets few pass.
RAMP = 0.1
#: Seconds whose share of ``max_rate`` may pass at once.
BURST = 0.1


@dataclass(frozen=True, slots=True)
class Trouble:
    """An answer, or the lack of one, that may be better later. ``retry_after`` is what the server asks for, seconds.

    ``limited``: it is refused by a rate limit (429). ``told``: the server said when to ask again, if by 0 seconds.
    """

    kind: Kind
    text: str
    retry_after: float = 0.0
    limited: bool = False
    told: bool = False

    @property
    def clause(self) -> str:
        """What happened, as it stands in the middle of a sentence."""
        return self.text if self.kind == "unreachable" else f"the server {self.text}"


class GaveUp(Exception):
    """Nothing succeeded for ``after`` seconds, the whole budget; or, with ``alone``, everything but this request."""

    def __init__(self, trouble: Trouble, *, alone: bool, after: float = 0.0) -> None:
        super().__init__(trouble.text)
        self.trouble = trouble
        self.alone = alone
        self.after = after


class SharedBackoff:
    """The gate. ``workers`` is the most requests under way; ``budget``, ``base`` and ``cap`` are seconds.

    ``budget`` is how long nothing may succeed, counted from the first failure, before ``GaveUp``; ``patience`` the same
    where a rate limit refuses everything, which shows that the server is there (``budget`` when None). ``adaptive``:
    fewer are under way while answers are slow. ``max_rate`` is the most requests a second (0: any number).

    Where a rate limit lets so few pass that what is ``expected`` cannot be done in the job's time, ``persist`` raises
    ``JobTimeout`` as soon as that is known.
    """

    def __init__(
        self,
        workers: int,
        *,
        budget: float,
        base: float,
        cap: float,
        patience: float | None = None,
        adaptive: bool = False,
        max_rate: int = 0,
    ) -> None:
        self.budget = budget
        self.patience = budget if patience is None else patience
        self.retries = 0
        self.rounds = 0
        self.paused = 0.0
        self._workers = workers
        self._base = base
        self._cap = cap
        self._latency = LatencyLimit(workers) if adaptive else None
        self._slowed = 0
        self._rate = TokenBucket(max_rate, max(1.0, max_rate * BURST)) if max_rate else None
        self._pace = Pace()
        self._trying = False  # one at a time, until something passes the rate limit
        self._window = float(workers)
        self._limiter = anyio.CapacityLimiter(self._allowed)
        self._most, self._more_at = 1, 0.0  # that were under way so far, and from when on it may be one more
        self._meter = meter()
        self._in_time = InTime(self._meter)
        self._level = 0
        self._open_at = 0.0
        self._last_success = 0.0
        self._failing_since: float | None = None

    async def persist(self, exchange: Callable[[*Ts], Awaitable[T | Trouble]], *args: *Ts) -> T:
        """Repeat an exchange until it is no ``Trouble``, and return what it gave. Raises ``GaveUp``."""
        first_failure = 0.0
        attempt = 0
        place = object()  # the limiter would ask for the task that runs, which costs more than all that it does
        while True:
            await self._enter(place)
            try:
                if self._rate is not None:
                    await self._wait_for(self._rate)
                round_ = self.rounds
                result = await exchange(*args)
            finally:
                self._limiter.release_on_behalf_of(place)
            if not isinstance(result, Trouble):
                self._succeeded(round_)
                return result
            attempt += 1
            first_failure = first_failure or monotonic()
            self._failed(round_, result)
            if attempt >= ATTEMPTS and result.kind in {"error", "unreachable"} and self._last_success > first_failure:
                self._failing_since = None
                raise GaveUp(result, alone=True)
            self.retries += 1

    @property
    def under_way(self) -> int:
        """How many requests are under way."""
        return self._limiter.borrowed_tokens

    def answered(self, kind: Asked, *, began: float, under_way: int) -> None:
        """A request was answered which began at that moment, when so many were under way, itself included."""
        latency = self._latency
        if latency is not None and latency.answered(kind, began=began, now=monotonic(), under_way=under_way):
            self._adjust()
            if latency.slowed > self._slowed:
                self._slowed = latency.slowed
                self._meter.slowed(latency.limit)

    def expected(self, left: Callable[[], int]) -> AbstractContextManager[None]:
        """Meanwhile ``left`` says how many requests are still to be made, at least."""
        return self._in_time.expected(left)

    @property
    def _allowed(self) -> int:
        """How many may be under way."""
        if self._trying:
            return 1
        return int(self._window) if self._latency is None else min(int(self._window), self._latency.limit)

    def _adjust(self) -> None:
        before, now = self._limiter.total_tokens, self._allowed
        if now != before:
            self._limiter.total_tokens = now

    async def _wait_for(self, rate: TokenBucket) -> None:
        """Wait until the rate lets one more pass, and the gate, should it have been closed meanwhile."""
        pause = rate.take(1, monotonic())
        while pause > 0:
            await anyio.sleep(pause)
            pause = self._open_at - monotonic()

    async def _enter(self, place: object) -> None:
        """Wait until the gate is open, the rate lets one pass, and one of its places is free, and take it."""
        while True:
            pause = self._open_at - monotonic()
            if pause > 0:
                await anyio.sleep(pause)
                continue  # it may have been closed for longer meanwhile
            if self._pace.since:
                self._in_time.check(self._pace, monotonic())
            round_, trying = self.rounds, self._trying
            if not trying:
                pause, mine = self._pace.take(monotonic())
                if pause > 0:
                    await anyio.sleep(pause)
                if not mine or self.rounds != round_:
                    continue  # or it was closed meanwhile: the rate is another one
            while self.under_way >= self._most and (pause := self._more_at - monotonic()) > 0:  # noqa: ASYNC110
                await anyio.sleep(pause)
            try:
                self._limiter.acquire_on_behalf_of_nowait(place)
            except anyio.WouldBlock:
                await self._limiter.acquire_on_behalf_of(place)
            if self._open_at <= monotonic() and (self.rounds, self._trying) == (round_, trying):
                if self.under_way > self._most:
                    self._most, self._more_at = self.under_way, monotonic() + RAMP / self._workers
                return
            # It was closed while we queued, or opened for those whom the rate lets pass.
            self._limiter.release_on_behalf_of(place)

    def _succeeded(self, round_: int) -> None:
        now = self._last_success = monotonic()
        self._failing_since = None
        current = round_ == self.rounds
        self._pace.passed(now, current=current)
        if current and self._trying:
            self._trying = False
            self._adjust()
        self._tell(now)
        if current and (self._level or self._window < self._workers):
            self._level = 0
            self._window = min(self._workers, self._window + 1 / self._window)
            self._adjust()

    def _failed(self, round_: int, trouble: Trouble) -> None:
        now = monotonic()
        if self._failing_since is None:
            self._failing_since = now
        budget = self.patience if trouble.limited else self.budget
        left = self._failing_since + budget - now
        if left <= 0 or trouble.retry_after > left:
            raise GaveUp(trouble, alone=False, after=budget)
        pause, first = trouble.retry_after, round_ == self.rounds  # the others of this round only echo it
        tried = trouble.limited and self._trying  # by the one that tries, which says nothing new
        until = self._refused(now, trouble, first) if trouble.limited and (first or self._trying) else None
        if first:
            self.rounds += 1
            self._level += 1
            self._window = self._window if tried else max(1.0, self._window / 2)
            self._adjust()
            if until is None:
                until = pause + random.uniform(0, min(self._cap, self._base * 2 ** min(self._level, 16)))  # noqa: S311
            pause = until
        opens = max(self._open_at, now + min(pause, left))
        self.paused += opens - max(self._open_at, now)
        self._meter.paused(opens - max(self._open_at, now))
        self._open_at = opens
        if trouble.limited:
            self._tell(now, opens - now)
            self._in_time.check(self._pace, now, opens - now)

    def _refused(self, now: float, trouble: Trouble, first: bool) -> float | None:
        """By a rate limit; the seconds to wait for, where they are known better than what trouble says of them."""
        self._trying = True
        pause = self._pace.refused(now, trouble.retry_after if trouble.told else None, again=not first)
        return None if trouble.retry_after or pause is None else min(pause, self._cap)

    def _tell(self, now: float, pause: float = 0.0) -> None:
        """Tell the report and the progress how many requests a rate limit lets pass."""
        if self._pace.since:
            self._meter.limit(self._pace.lets_pass(now, pause))
        else:
            self._meter.unlimited()
