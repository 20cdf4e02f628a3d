"""So many a second and no more: a token bucket. Pure: it is told the time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """Lets ``rate`` a second pass, and at most ``burst`` at once; both may change. Tokens are requests, or bytes."""

    rate: float
    burst: float
    _tokens: float = 0.0
    _at: float = 0.0

    def take(self, amount: float, now: float) -> float:
        """Take tokens, also those that are not there yet; the seconds to wait for them.

        Who waits for the seconds that each is told keeps the rate, in whatever order. ``now`` is of one clock and never
        goes back.
        """
        self._fill(now)
        self._tokens -= amount
        return max(0.0, -self._tokens / self.rate)

    def due(self, amount: float, now: float) -> float:
        """The seconds for which one who took so many now would have to wait."""
        self._fill(now)
        return max(0.0, (amount - self._tokens) / self.rate)

    def _fill(self, now: float) -> None:
        if self._at:
            self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        else:
            self._tokens = self.burst
        self._at = now
