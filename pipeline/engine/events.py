"""What an observer sees: stages starting and ending, and snapshots of the counters in between.

Stages emit none of this; the engine reads it off the edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["pending", "running", "finished", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage began."""

    stage: str


@dataclass(frozen=True, slots=True)
class StageEnded:
    """A stage ended, ``seconds`` after it began: it returned, and its outputs ended; or it raised ``error``.

    After the first error everything else is being stopped. A stage that was merely cancelled has no such event.
    """

    stage: str
    seconds: float
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class EdgeSnapshot:
    """Items and bytes that crossed an edge so far, items in its buffer, and whether a side waits right now."""

    name: str
    items: int
    bytes: int
    buffered: int
    writer_waits: bool
    reader_waits: bool


@dataclass(frozen=True, slots=True)
class StageSnapshot:
    """Where the time of a stage or transform went, in seconds: waiting for input, for output, and busy (the rest).

    ``bytes`` are those that it wrote; of a sink, those that it read. Of a stage with several senders the times are the
    mean over them. A transform only is busy; the stage in whose hop it runs waits for it as for any other.
    """

    name: str
    state: State
    seconds: float
    waiting_in: float
    waiting_out: float
    bytes: int = 0

    @property
    def busy(self) -> float:
        """Seconds neither waiting for input nor for output."""
        return max(0.0, self.seconds - self.waiting_in - self.waiting_out)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All counters of a pipeline at one moment; transforms stand behind the stage that writes their edge.

    ``waits_for`` is the server that everything waits for, if one can be told (see ``AsksServer``).
    """

    stages: tuple[StageSnapshot, ...]
    edges: tuple[EdgeSnapshot, ...]
    waits_for: str = ""


Event: TypeAlias = StageStarted | StageEnded | Snapshot
