"""What there is in a state directory, for who tells others of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import ConfigurationError
from . import journal_files as files
from .journal import Unfinished, unfinished

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class StateLook:
    """What there is in a state directory, whose ``name`` is the same on every machine that shares it.

    ``journal`` is its path, ``there`` whether there is one, perhaps of a restore that is running. ``unreadable`` says
    why nobody can tell of what restore; else empty.
    """

    name: str
    journal: Path
    there: bool
    unfinished: Unfinished | None = None
    unreadable: str = ""


def look(state: Path | None = None, *, mark: bool = False) -> StateLook:
    """What there is in the state directory; ``mark`` gives it a name of its own, if it has none."""
    directory = files.state_directory(state)
    name, journal = files.place(directory, mark=mark), directory / files.JOURNAL
    try:
        there = files.exists(directory)
        return StateLook(name, journal, there, unfinished(state) if there else None)
    except ConfigurationError as exc:
        return StateLook(name, journal, True, None, exc.message)
