"""One line of the tables: what a benchmark must reach and aims at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

#: The short form must reach a limit that is this many times as easy. 1.2 of it is for fixed costs (a key from a
#: password, a login), which make the short form's ratios of the database so much worse than the full form's; 1.25 for
#: noise: over ten short runs on a machine of two cores, five before and five after the measured code changed, the best
#: and the worst of a ratio were within 1.22 of each other before and 1.12 after, but for one write that was too good.
ROOM = 1.5


Unit: TypeAlias = Literal[
    "× its time",
    "× as fast",
    "of its rate",
    "of its size",
    "of its requests",
    "of the first half's",
    "s",
    "ms",
    "MiB",
    "GB/s",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One line. ``must`` fails the benchmark, ``aim`` is what we work towards; both in ``unit``.

    ``at_least`` says that more is better. ``room`` makes the limit easier in the short form, for its sizes and its
    noise: a factor, or for ``MiB`` (which has no noise) 1. ``full_only`` lines have no meaning at small sizes.
    ``guard`` is what the short form must reach instead, where the limit says little about its sizes.
    """

    what: str
    reference: str = ""
    unit: Unit
    must: float
    aim: float | None = None
    at_least: bool = False
    room: float = ROOM
    full_only: bool = False
    guard: float | None = None

    def allowed(self, *, short: bool) -> float:
        """What this run must reach."""
        if not short or self.full_only:
            return self.must
        if self.guard is not None:
            return self.guard
        return self.must / self.room if self.at_least else self.must * self.room

    def kept(self, value: float, *, short: bool) -> bool:
        """Whether a value is good enough."""
        allowed = self.allowed(short=short)
        return value >= allowed if self.at_least else value <= allowed

    def aimed(self, value: float) -> bool:
        """Whether a value is as good as it should be."""
        return self.aim is None or (value >= self.aim if self.at_least else value <= self.aim)


BARE_TWO = "the bare times of the two servers, added up"
