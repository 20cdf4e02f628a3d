"""Whether a job can end within its time at the rate that a server lets pass; one that cannot is ended at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import JobTimeout
from ..words import count, per_time, span

if TYPE_CHECKING:
    from .meter import Meter
    from .pace import Pace

#: A rate is believed when it was watched for this share of the job's time, or for so many seconds.
_SHARE, _SECONDS = 0.05, 120.0
#: What is left may be done so many times as fast as it looks.
_DOUBT = 1.25
#: Seconds between two estimates.
_EVERY = 1.0


class InTime:
    """Compares what is left to do with the time that the job has."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._left: Callable[[], int] | None = None
        self._next = 0.0

    @contextmanager
    def expected(self, left: Callable[[], int]) -> Iterator[None]:
        """``left`` says meanwhile how many requests are still to be made, at least."""
        before, self._left = self._left, left
        try:
            yield
        finally:
            self._left = before

    def check(self, pace: Pace, now: float, pause: float = 0.0) -> None:
        """Nothing is sent for the next ``pause`` seconds. Raises ``JobTimeout`` where the time cannot be enough."""
        if self._left is None or now < self._next or (ends := self._meter.ends) is None:
            return
        self._next = now + _EVERY
        deadline, limit = ends
        if now + pause - pace.since < min(_SHARE * limit, _SECONDS):
            return
        rate, left = pace.lets_pass(now, pause), self._left()
        if not rate or left <= rate * _DOUBT * (deadline - now):
            return
        raise JobTimeout(
            f"The vault lets about {per_time(rate)} pass (429), and at least {count(left, 'request')} are left: that "
            f"takes {span(left / rate)}, and {span(max(0.0, deadline - now))} are left of the job's limit of "
            f"{span(limit)}. So it was stopped now.",
            hint="Raise the vault's rate limit for kleidia-backup (its quota), or job_timeout in [backup].",
        )
