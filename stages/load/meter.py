"""Measures the load of one job: every client that is made while it runs finds the job's meter by itself.

A job may begin others (a drill restores, a restore backs up first): what they do is their load and that of the outer
one. All of it is in memory of fixed size.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic
from typing import Literal, TypeAlias

from .figures import DatabaseLoad, Load, VaultLoad
from .histogram import Histogram

#: What tables are locked by: ACCESS SHARE, or ACCESS EXCLUSIVE.
Locks: TypeAlias = Literal["shared", "exclusive"]


@dataclass(eq=False)
class Meter:
    """Counts; ``outer`` counts the same. Requests are counted on the event loop, transactions in any thread."""

    outer: Meter | None = None
    _times: Histogram = field(default_factory=Histogram)
    _refused: int = 0
    _paused: float = 0.0
    _slowed: int = 0
    _least: int = 0
    _lets_pass: float | None = None
    _limited: bool = False
    _ends: tuple[float, float] | None = None
    _under_way: int = 0
    _at_once: int = 0
    _first: float = 0.0
    _last: float = 0.0
    _longest: float | None = None
    _held: dict[Locks, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    # The vault ------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A request is sent."""
        self._under_way += 1
        self._at_once = max(self._at_once, self._under_way)
        if not self._first:
            self._first = monotonic()
        if self.outer is not None:
            self.outer.begin()

    def end(self, seconds: float, *, refused: bool = False) -> None:
        """It was answered, or failed, after so many seconds; ``refused``: as one too many."""
        self._under_way -= 1
        self._last = monotonic()
        self._times.add(seconds)
        self._refused += refused
        if self.outer is not None:
            self.outer.end(seconds, refused=refused)

    def paused(self, seconds: float) -> None:
        """None was sent for so long because the server refused some."""
        self._paused += seconds
        if self.outer is not None:
            self.outer.paused(seconds)

    def slowed(self, at_once: int) -> None:
        """Answers became slower: only so many may be under way together from now on."""
        self._slowed += 1
        self._least = min(self._least or at_once, at_once)
        if self.outer is not None:
            self.outer.slowed(at_once)

    def limit(self, lets_pass: float) -> None:
        """A rate limit refuses requests; so many a second pass."""
        self._lets_pass, self._limited = lets_pass, True
        if self.outer is not None:
            self.outer.limit(lets_pass)

    def unlimited(self) -> None:
        """None refuses any, or not any more."""
        if self._limited:
            self._limited = False
            if self.outer is not None:
                self.outer.unlimited()

    @property
    def lets_pass(self) -> float | None:
        """The requests a second that a rate limit of the vault lets pass now; None where none is met."""
        return self._lets_pass if self._limited else None

    # The job's time -------------------------------------------------------------------------------------------

    def ends_after(self, seconds: float | None) -> None:
        """The job has so many seconds from now on; None: no limit holds any more."""
        self._ends = None if seconds is None else (monotonic() + seconds, seconds)

    @property
    def ends(self) -> tuple[float, float] | None:
        """When the job's time is over, on the clock of ``monotonic``, and how many seconds it had; None: never.

        Of a job that began this one, where that is earlier.
        """
        outer = self.outer.ends if self.outer is not None else None
        return min(filter(None, (self._ends, outer)), default=None)

    # PostgreSQL -----------------------------------------------------------------------------------------------

    def transaction(self, seconds: float) -> None:
        """One of ours was open for so long."""
        with self._lock:
            self._longest = max(self._longest or 0.0, seconds)
        if self.outer is not None:
            self.outer.transaction(seconds)

    def locked(self, kind: Locks, seconds: float) -> None:
        """Tables were locked for so long, by one transaction."""
        with self._lock:
            self._held[kind] = max(self._held.get(kind, 0.0), seconds)
        if self.outer is not None:
            self.outer.locked(kind, seconds)

    # The report -----------------------------------------------------------------------------------------------

    def load(self) -> Load:
        """What was counted until now."""
        return Load(vault=self._vault(), database=self._database())

    def _vault(self) -> VaultLoad | None:
        times = self._times
        if not times.count:
            return None
        span = self._last - self._first
        return VaultLoad(
            requests=times.count,
            p50_ms=1000 * times.quantile(0.5),
            p99_ms=1000 * times.quantile(0.99),
            longest_ms=1000 * times.longest,
            rate=times.count / span if span > 0 else float(times.count),
            at_once=self._at_once,
            refused=self._refused,
            paused=self._paused,
            slowed=self._slowed,
            least_at_once=self._least or None,
            lets_pass=self._lets_pass,
        )

    def _database(self) -> DatabaseLoad | None:
        with self._lock:
            if self._longest is None:
                return None
            exclusive = self._held.get("exclusive", 0.0)
            return DatabaseLoad(
                longest_transaction=self._longest,
                locks_held=max(self._held.get("shared", 0.0), exclusive),
                exclusive_locks_held=exclusive,
            )


#: The meter of the job that runs here; None outside of jobs, and where a client is used alone.
_current: ContextVar[Meter | None] = ContextVar("meter", default=None)


def meter() -> Meter:
    """The meter of the job that runs here; outside of jobs one that nobody reads."""
    return _current.get() or Meter()


@contextmanager
def measured(inner: Meter) -> Iterator[None]:
    """What begins meanwhile is measured by ``inner``, and by the meter that was there before."""
    inner.outer = _current.get()
    token = _current.set(inner)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def transaction(locks: Locks | None = None) -> Iterator[None]:
    """One of our transactions is open meanwhile, which locks tables by ``locks``."""
    counting, begun = meter(), monotonic()
    try:
        yield
    finally:
        seconds = monotonic() - begun
        counting.transaction(seconds)
        if locks is not None:
            counting.locked(locks, seconds)
