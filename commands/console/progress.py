"""A job's progress: bars on a terminal, otherwise a line every ten seconds."""

from __future__ import annotations

import select
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from ...pipeline.reports import words

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import TaskID

    from ...pipeline.reports.jobs import Progress

#: Seconds between two lines.
INTERVAL = 10.0

_PHASES = {
    "prepare": "preparing",
    "backup": "backing up",
    "verify": "verifying",
    "restore": "restoring",
    "commit": "committing",
    "prune": "removing",
    "undo": "putting back",
    "plan": "comparing",
    "convert": "writing",
    "copy": "copying",
}


class View(Protocol):
    """A context manager that is told of progress."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    def __call__(self, progress: Progress) -> None:
        """Show it."""

    def say(self, text: str) -> None:
        """Write a line of text beside it."""


class Nothing:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing to end."""

    def __call__(self, progress: Progress) -> None:
        """Nothing to show."""

    def say(self, text: str) -> None:
        """Nothing to write."""


class Lines(Nothing):
    """Writes a line every ``INTERVAL`` seconds of the job. ``phase`` names a job that has a single one."""

    def __init__(self, stream: TextIO, phase: str = "") -> None:
        self._stream = stream
        self._phase = phase
        self._next = INTERVAL
        self._seen = 0.0

    def __call__(self, progress: Progress) -> None:
        """Write a line, if one is due."""
        if progress.seconds < self._seen:  # another job
            self._next = INTERVAL
        self._seen = progress.seconds
        if progress.seconds < self._next:
            return
        self._next = progress.seconds + INTERVAL
        done = ", ".join(f"{name} {text}" for name, text in words.amounts(progress).items())
        phase = self._phase or _PHASES[progress.phase]
        self.say(f"{phase}, {progress.seconds:.0f} s" + (f": {done}" if done else ""))

    def say(self, text: str) -> None:
        """Write a line, if anybody still reads; no backup fails, or waits, because nobody looks."""
        with suppress(OSError):
            if not _takes_a_line(self._stream):
                return
            self._stream.write(text + "\n")
            self._stream.flush()


def _takes_a_line(stream: TextIO) -> bool:
    """Whether a line can be written at once: a pipe that nobody empties would hold up the job, and its cancellation."""
    try:
        return bool(select.select([], [stream], [], 0)[1])
    except (OSError, ValueError):  # no descriptor, or one that select does not take
        return True


class Bars:
    """Draws a bar for each of database, secrets and archive, as far as the job has them; gone at the end."""

    def __init__(self, stream: TextIO, phase: str = "") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._phase = phase
        self._bars: dict[str, TaskID] = {}
        self._shown = ""
        self._rich = RichProgress(
            TextColumn("{task.description:<12}"),
            TextColumn("{task.fields[part]:<8}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            console=Console(file=stream),
            refresh_per_second=4,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._rich.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(OSError):  # the terminal is gone
            self._rich.stop()

    def __call__(self, progress: Progress) -> None:
        """Move the bars; a new phase begins with new ones."""
        if progress.phase != self._shown:
            self._clear()
            self._shown = progress.phase
        numbers = {
            "database": (progress.sql_bytes, progress.sql_total),
            "secrets": (progress.secrets, progress.secrets_total),
            "archive": (progress.archive_bytes, progress.archive_total),
        }
        found = words.amounts(progress)
        if not found:  # connecting, deriving the key, committing: time passes, nothing to count
            found, numbers[""] = {"": ""}, (0, None)
        for part, amount in found.items():
            done, total = numbers[part]
            if part not in self._bars:
                phase = "" if self._bars else (self._phase or _PHASES[progress.phase])
                self._bars[part] = self._rich.add_task(phase, total=None, part=part, amount="")
            total = max(done, total) if total else None
            self._rich.update(self._bars[part], completed=done, total=total, amount=amount)
        if "" in self._bars and "" not in found:
            self._rich.remove_task(self._bars.pop(""))

    def say(self, text: str) -> None:
        """Write a line; what the bars showed is over then."""
        self._clear()
        with suppress(OSError):
            self._rich.console.print(text, markup=False, highlight=False)

    def _clear(self) -> None:
        self._shown = ""
        for bar in self._bars.values():
            self._rich.remove_task(bar)
        self._bars = {}

    def renderable(self) -> RenderableType:
        """The bars as they stand."""
        return self._rich.get_renderable()
