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
class StageFinished:
    """A stage returned, and its outputs ended. ``seconds`` since it began."""

    stage: str
    seconds: float


@dataclass(frozen=True, slots=True)
class StageFailed:
    """A stage raised ``error``; everything else is being stopped."""

    stage: str
    error: Exception


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
    """Where a stage's time went, in seconds: waiting for input, for output, and busy (the rest).

    Of a stage with several senders it is the mean over them.
    """

    name: str
    state: State
    seconds: float
    waiting_in: float
    waiting_out: float

    @property
    def busy(self) -> float:
        """Seconds neither waiting for input nor for output."""
        return max(0.0, self.seconds - self.waiting_in - self.waiting_out)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All counters of a pipeline at one moment."""

    stages: tuple[StageSnapshot, ...]
    edges: tuple[EdgeSnapshot, ...]

    def edge(self, name: str) -> EdgeSnapshot:
        """The edge written by the stage of that name. Raises ``KeyError``."""
        for edge in self.edges:
            if edge.name == name:
                return edge
        raise KeyError(name)


Event: TypeAlias = StageStarted | StageFinished | StageFailed | Snapshot
