"""What can go wrong in a pipeline, and the one thing that can go well early.

::

    PipelineError
    ├── WiringError      refused while wiring, or before anything runs
    ├── StageFailed      the one exception that leaves ``run()``; ``__cause__`` is the root cause
    └── StageBug         a stage broke the contract
        ├── OversizeItem     sent an item larger than its edge takes
        └── UnreadInput      returned before its input ended

    Enough               raised by a sink, to end the run without an error
"""

from __future__ import annotations


class PipelineError(Exception):
    """Base of the engine's own errors; never raised itself."""


class WiringError(PipelineError):
    """The wiring cannot work: an edge without a reader, read twice, or what could wait for itself."""


class StageFailed(PipelineError):
    """A stage raised. ``stage`` is its name, ``cause`` (also ``__cause__``) the first error that any stage raised.

    ``others`` are errors that stages raised while they were being stopped, in order; they are rarely of interest.
    """

    def __init__(self, stage: str, cause: Exception, others: tuple[Exception, ...] = ()) -> None:
        super().__init__(f"stage {stage} failed: {cause}")
        self.stage = stage
        self.cause = cause
        self.others = others


class StageBug(PipelineError):
    """A stage broke the contract of the engine: a bug, never data."""


class OversizeItem(StageBug):
    """A stage sent an item larger than its edge takes."""


class UnreadInput(StageBug):
    """A stage returned although its input had not ended."""


class Enough(Exception):
    """Raised by a sink that needs no more: the run ends, and ``run()`` returns as if all had ended.

    Every other stage is cancelled, and what it raises then is no failure. Other sinks are cancelled as well, before
    their input ended, and so make nothing visible: a sink that must succeed together with others never raises this.
    A failure that came first stays one.
    """
