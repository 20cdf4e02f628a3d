"""The command's two streams: results to stdout, everything else to stderr. With ``--json`` stdout holds one object."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...pipeline.reports import words
from .exit_codes import WARNINGS
from .progress import Bars, Lines, Nothing, View

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from ...pipeline.job import Logger
    from .failure import Failure

#: Columns of a table that goes to a file or a pipe: enough for any name to stay on one line.
_WIDTH = 2000


@dataclass(frozen=True, slots=True)
class Terminal:
    """How the operator wants to be told: ``json``, ``verbose`` (a log, tracebacks), ``quiet`` (no progress)."""

    json: bool = False
    verbose: bool = False
    quiet: bool = False
    #: What the object of ``--json`` has besides, of every command: how it is recorded.
    notes: dict[str, Any] = field(default_factory=dict)

    def progress(self, phase: str = "") -> View:
        """A view of a job's progress; ``phase`` names a job that has a single one."""
        if self.quiet:
            return Nothing()
        if sys.stderr.isatty() and not self.verbose:  # bars and a log would draw over each other
            return Bars(sys.stderr, phase)
        return Lines(sys.stderr, phase)

    def log(self) -> Logger | None:
        """The logger of ``--verbose``."""
        if not self.verbose:
            return None
        # Only who asks for a log waits for structlog, and only tables for rich.
        from ...config.logs import logger

        return logger(sys.stderr)

    def tell(self, text: str) -> None:
        """Something to know, on stderr, if anybody still reads it."""
        with suppress(OSError):
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    def warn(self, text: str) -> None:
        """A warning, on one line."""
        self.tell(f"warning: {words.printable(text)}")

    def result(self, values: dict[str, Any], shown: Iterable[RenderableType], exit_code: int = 0) -> int:
        """The command's result: ``values`` as JSON, or what is ``shown``.

        Returns ``exit_code``; ``WARNINGS`` instead of 0 when the result could not be written.
        """
        if self.json:
            trouble = _try(lambda: _write_json({**values, **self.notes, "exit_code": exit_code}))
        else:
            trouble = _try(lambda: _show(shown))
        if trouble:
            self.warn(f"The result cannot be written to stdout: {trouble}.")
            return exit_code or WARNINGS
        return exit_code

    def failed(self, failure: Failure, error: BaseException | None = None) -> int:
        """Tell why the command failed, and with ``--verbose`` where the error came from. Returns the exit status."""
        if self.verbose and error is not None:
            self.tell("".join(traceback.format_exception(error)).rstrip())
        if not self.json:
            _try(sys.stdout.flush)
            self.tell(failure.lines)
        elif _try(lambda: _write_json({"error": failure.as_json(), **self.notes})):
            self.tell(failure.lines)
        return failure.exit_code


def _show(shown: Iterable[RenderableType]) -> None:
    """Texts as they are, tables as wide as the terminal."""
    console = None
    for each in shown:
        if isinstance(each, str):
            sys.stdout.write(each.removesuffix("\n") + "\n" if each else "")
            continue
        if console is None:
            from rich.console import Console

            console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else _WIDTH)
            room = console.width
        console.width = max(room, _needed(console, each))
        with console.capture() as captured:
            console.print(each, crop=False)
        # Without the blanks that fill each line: they make a mess of what is copied or piped.
        sys.stdout.write("".join(line.rstrip() + "\n" for line in captured.get().strip("\n").split("\n")))
    sys.stdout.flush()


def _needed(console: Console, shown: RenderableType) -> int:
    """Columns without which a table would lose letters of a name; the terminal wraps what it has no room for."""
    from rich.table import Table

    if not isinstance(shown, Table) or not all(column.no_wrap for column in shown.columns):
        return 0
    return console.measure(shown, options=console.options.update_width(_WIDTH)).maximum


def _write_json(values: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(words.as_json(values), ensure_ascii=True) + "\n")
    sys.stdout.flush()


def _try(write: Callable[[], object]) -> str:
    """Write to stdout; says why that failed. A reader that left has seen what it wanted (``… | head``): no failure."""
    try:
        write()
    except OSError as exc:
        # Else the interpreter would complain when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return "" if isinstance(exc, BrokenPipeError) else exc.strerror or "unknown"
    return ""
