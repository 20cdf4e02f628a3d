"""The engine: stages joined by bounded edges. It knows no stage, no archive, no server.

A stage is an async callable whose parameters declare what it reads (``Inlet``) and writes (``Outlet``). It returns
when it is done and raises when it is not; it closes nothing. The end of an inlet means that everything upstream
succeeded, so a sink may make its work visible then, and only then.
"""

from .declares import AsksServer, FansOut, HoldsItems, HoldsMemory, Named
from .edges import Edge, EdgeEvent
from .ends import Inlet, Outlet
from .errors import Enough, OversizeItem, PipelineError, StageBug, StageFailed, UnreadInput, WiringError
from .events import EdgeSnapshot, Event, Snapshot, StageEnded, StageSnapshot, StageStarted
from .graph import Pipeline
from .node import Happens
from .running import Observer
from .stages import Map, drain, nothing
from .threads import in_thread, task_group
from .transform import MAX_CHUNK, Transform, cut

__all__ = [
    "MAX_CHUNK",
    "AsksServer",
    "Edge",
    "EdgeEvent",
    "EdgeSnapshot",
    "Enough",
    "Event",
    "FansOut",
    "Happens",
    "HoldsItems",
    "HoldsMemory",
    "Inlet",
    "Map",
    "Named",
    "Observer",
    "Outlet",
    "OversizeItem",
    "Pipeline",
    "PipelineError",
    "Snapshot",
    "StageBug",
    "StageEnded",
    "StageFailed",
    "StageSnapshot",
    "StageStarted",
    "Transform",
    "UnreadInput",
    "WiringError",
    "cut",
    "drain",
    "in_thread",
    "nothing",
    "task_group",
]
