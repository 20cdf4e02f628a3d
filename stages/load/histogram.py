"""Times in fixed memory: a histogram with logarithmic buckets, from which quantiles are read."""

from __future__ import annotations

from math import ceil, frexp

#: The shortest time that is told from shorter ones, in seconds.
SHORTEST = 1e-5
#: Buckets for each doubling. Within a doubling they are equally wide, so that none is wider than 1/16 of what is in it.
_PARTS = 16
#: Doublings: up to 1e-5 s * 2**28, three quarters of an hour. What takes longer is in the last bucket.
_DOUBLINGS = 28
#: How much too large a quantile may be, as a share of itself. It is never too small.
RESOLUTION = 1 / _PARTS


class Histogram:
    """Counts times (seconds) in 28 * 16 buckets, whatever their number."""

    def __init__(self) -> None:
        self.count = 0
        self.longest = 0.0
        self._buckets = [0] * (_DOUBLINGS * _PARTS)

    def add(self, seconds: float) -> None:
        """Count one."""
        self.count += 1
        self.longest = max(self.longest, seconds)
        self._buckets[_bucket(seconds)] += 1

    def join(self, other: Histogram) -> None:
        """Count what another one has counted."""
        self.count += other.count
        self.longest = max(self.longest, other.longest)
        self._buckets = [mine + its for mine, its in zip(self._buckets, other._buckets, strict=True)]

    def quantile(self, share: float) -> float:
        """The time that this share (0 to 1) of them did not exceed, rounded up to its bucket's end; 0 of none.

        It is at most ``RESOLUTION`` of itself too large, above ``SHORTEST``; never more than the longest.
        """
        wanted = max(1, ceil(share * self.count))
        seen = 0
        for bucket, number in enumerate(self._buckets):
            seen += number
            if seen >= wanted:
                return self.longest if bucket == len(self._buckets) - 1 else min(_end(bucket), self.longest)
        return 0.0


def _bucket(seconds: float) -> int:
    """The bucket of a time."""
    fraction, power = frexp(seconds / SHORTEST)  # fraction is in [0.5, 1)
    if power < 1:
        return 0
    return min((power - 1) * _PARTS + int((fraction - 0.5) * 2 * _PARTS), _DOUBLINGS * _PARTS - 1)


def _end(bucket: int) -> float:
    """The upper end of a bucket, in seconds."""
    doubling, part = divmod(bucket, _PARTS)
    return SHORTEST * (1 << doubling) * (1 + (part + 1) / _PARTS)
