"""The log of ``--verbose``: to stderr, readable on a terminal, JSON elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

import structlog

if TYPE_CHECKING:
    from ..pipeline.job import Logger


def logger(stream: TextIO) -> Logger:
    """A logger that writes to ``stream``. It changes nothing global."""
    render: Any = structlog.dev.ConsoleRenderer() if stream.isatty() else structlog.processors.JSONRenderer()
    made: Logger = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso"), render],
        wrapper_class=structlog.BoundLogger,
    )
    return made
