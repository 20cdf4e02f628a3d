"""The engine: stages joined by bounded edges. It knows no stage, no archive, no server.

A stage is an async callable whose parameters declare what it reads (``Inlet``) and writes (``Outlet``). It returns
when it is done and raises when it is not; it closes nothing. The end of an inlet means that everything upstream
succeeded, so a sink may make its work visible then, and only then.
"""

from .edges import MAX_CHUNK, Edge, Inlet, Outlet
from .errors import OversizeItem, PipelineError, StageBug, StageFailed, UnreadInput, WiringError
from .events import EdgeSnapshot, Event, Snapshot, StageFinished, StageSnapshot, StageStarted
from .graph import Observer, Pipeline
from .threads import in_thread

__all__ = [
    "MAX_CHUNK",
    "Edge",
    "EdgeSnapshot",
    "Event",
    "Inlet",
    "Observer",
    "Outlet",
    "OversizeItem",
    "Pipeline",
    "PipelineError",
    "Snapshot",
    "StageBug",
    "StageFailed",
    "StageFinished",
    "StageSnapshot",
    "StageStarted",
    "UnreadInput",
    "WiringError",
    "in_thread",
]
