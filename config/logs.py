"""The log of ``--verbose``: to stderr, readable on a terminal, JSON elsewhere."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog

if TYPE_CHECKING:
    from ..pipeline.job import Logger


class Lenient:
    """A stream whose reader may leave, or that is closed: no job fails because its log cannot be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write, if anybody reads it."""
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        """Likewise."""
        with suppress(OSError, ValueError):
            self._stream.flush()


def logger(stream: TextIO) -> Logger:
    """A logger that writes to ``stream``. It changes nothing global."""
    # Tracebacks without the values of variables, which may be secrets.
    pretty = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    render: Any = pretty if stream.isatty() else structlog.processors.JSONRenderer()
    made: Logger = structlog.wrap_logger(
        structlog.WriteLogger(cast("TextIO", Lenient(stream))),
        processors=[structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso"), render],
        wrapper_class=structlog.BoundLogger,
    )
    return made
