"""The engine's log as the service's: what stages do is for those who look for a fault."""

from __future__ import annotations

from typing import Any

#: What an engine says of each of its stages. That one failed is said by the job, once, and in words.
_STAGES = frozenset({"StageStarted", "StageFinished", "StageFailed"})


class EngineLog:
    """A logger for the engine, on a logger of structlog's."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def info(self, event: str, **values: Any) -> None:
        """Log; what concerns a stage alone only when everything is asked for (``--verbose``)."""
        (self._log.debug if event in _STAGES else self._log.info)(event, **values)

    def warning(self, event: str, **values: Any) -> None:
        """Log."""
        self._log.warning(event, **values)
