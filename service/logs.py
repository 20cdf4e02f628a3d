"""The service's log: one JSON object a line, with the job's id, from our code and from the libraries below it."""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog

from ..config.logs import Lenient
from ..stages.pg.server.conninfo import HIDDEN, without_values

if TYPE_CHECKING:
    from structlog.typing import Processor

#: Names whose values are never logged.
_SECRET = re.compile(r"password|secret|token|authorization|conninfo|dsn|cookie", re.IGNORECASE)
#: Third-party loggers that are too verbose, and the level from which on they are logged.
_LEVELS = {"uvicorn": logging.INFO, "procrastinate": logging.WARNING}


def configure_logs(stream: TextIO, *, verbose: bool = False) -> None:
    """Write all logs of this process to ``stream``: for people on a terminal, else as JSON. ``verbose`` adds to it."""
    # Tracebacks without the values of variables, which may be secrets: not as structlog shows them on a terminal.
    pretty = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    render: Processor = pretty if stream.isatty() else structlog.processors.JSONRenderer()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _named,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_secrets,
    ]
    if not stream.isatty():
        shared.append(structlog.processors.format_exc_info)
    lenient = Lenient(stream)
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if verbose else logging.INFO),
        logger_factory=_Factory(lenient),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(cast("TextIO", lenient))
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=render, foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO if verbose else logging.WARNING)
    for name, level in _LEVELS.items():
        logging.getLogger(name).setLevel(logging.INFO if verbose else level)


class _Factory:
    def __init__(self, stream: Lenient) -> None:
        self._stream = stream

    def __call__(self, *args: Any) -> Any:
        """A logger; the first argument of ``get_logger`` names it."""
        made = structlog.WriteLogger(cast("TextIO", self._stream))
        made.name = args[0] if args else ""  # type: ignore[attr-defined]  # as those of the standard library have it
        return made


def _named(logger: Any, _: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the name of the logger."""
    record = event.get("_record")
    event["logger"] = record.name if record is not None else getattr(logger, "name", "")
    return event


def _without_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in event:
        if _SECRET.search(name):
            event[name] = HIDDEN
    if str(event.get("logger", "")).startswith("psycopg"):  # messages of servers and libpq
        event["event"] = without_values(str(event["event"]), (), "")
    return event
