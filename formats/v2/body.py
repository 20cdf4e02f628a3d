"""Which segments of a body hold which bytes of the payload (SPEC.md, section 5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..errors import DamagedArchive
from .floe import HEADER, OVERHEAD, SEGMENT, Opener, Segments, shape

#: Payload bytes of a segment.
PLAIN = SEGMENT - OVERHEAD
#: Spans of segments with fewer between them are read as one.
_NEAR = 4


@dataclass(frozen=True, slots=True)
class Body:
    """A body of ``count`` segments that begins at byte ``start`` of the file, its header included."""

    start: int
    size: int
    count: int
    last_size: int

    @classmethod
    def of(cls, start: int, size: int) -> Body:
        """The body from ``start`` to the end of a file of ``size`` bytes. Raises ``DamagedArchive`` (``seal``)."""
        count, last = shape(size - start)
        return cls(start, size, count, last)

    @property
    def payload(self) -> int:
        """Bytes of the payload."""
        return (self.count - 1) * PLAIN + self.last_size - OVERHEAD

    def place(self, first: int, end: int) -> tuple[int, int]:
        """The bytes of the file that hold the segments from ``first`` to before ``end``."""
        begin = self.start + HEADER
        return begin + first * SEGMENT, min(begin + end * SEGMENT, self.size)

    def spans(self, wanted: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """The segments (from, to) that hold these bytes of the payload, given in order; near ones together."""
        found: list[tuple[int, int]] = []
        for start, end in wanted:
            first, behind = start // PLAIN, -(-end // PLAIN)
            if found and first <= found[-1][1] + _NEAR:
                found[-1] = found[-1][0], max(found[-1][1], behind)
            else:
                found.append((first, behind))
        return found


class OpenSpans:
    """Transform: the ciphertext of some spans of segments to their plaintext, each only when its tag was checked.

    What is fed never reaches over the end of a span. ``feed`` and ``finish`` raise ``DamagedArchive`` (layer ``seal``).
    """

    name = "open"
    #: Bytes: a segment that is not whole yet, and a plaintext.
    working_set = 2 * SEGMENT

    def __init__(self, segments: Segments, body: Body, spans: Iterable[tuple[int, int]]) -> None:
        self._segments = segments
        self._last = body.count - 1
        self._spans = iter(spans)
        self._end = -1
        self._opener: Opener | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The segments that end in these bytes."""
        if self._opener is None:
            first, self._end = next(self._spans)
            self._opener = Opener(self._segments, first=first, last=self._last)
        yield from self._opener.feed(data)
        if self._opener.number == self._end:
            self._opener = None

    def finish(self) -> Iterable[bytes]:
        """Nothing."""
        if self._opener is not None or next(self._spans, None) is not None:
            raise DamagedArchive("seal", "The archive ends in the middle of a segment.")
        return ()
