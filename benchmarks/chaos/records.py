"""What was killed, when, and what was found: a line for each kill, and the table of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from .operations import Cell, Found

FOUND: tuple[Found, ...] = get_args(Found)


@dataclass(frozen=True)
class Kill:
    """One kill: after ``seconds`` of a command that takes ``whole`` seconds undisturbed; ``wrong`` says what is."""

    number: int
    cell: Cell
    seconds: float
    whole: float
    found: Found | None
    wrong: str = ""

    @property
    def line(self) -> str:
        """It in one line, for a log."""
        when = f"{self.seconds:6.3f} s of {self.whole:6.3f} s"
        return f"{self.number:5}  {self.cell!s:32}  {when}  {self.found or 'WRONG: ' + self.wrong}"


def table(kills: Sequence[Kill]) -> str:
    """A row for each operation, format and store; the last column is for what nobody wants to see."""
    head = ["operation", "format", "store", "kills", *FOUND, "wrong", "killed at, in tenths of its duration"]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    of_cells: dict[Cell, list[Kill]] = defaultdict(list)
    for kill in kills:
        of_cells[kill.cell].append(kill)
    for cell, some in sorted(of_cells.items(), key=lambda each: str(each[0])):
        name = f"{cell.operation}, {cell.target} servers" if cell.target else cell.operation
        lines.append(_row([name, cell.format, cell.store], some))
    return "\n".join([*lines, _row(["**all**", "", ""], kills)]) + "\n"


def _row(names: list[str], kills: Sequence[Kill]) -> str:
    found = Counter(kill.found for kill in kills)
    killed = [kill for kill in kills if kill.found != "finished"]
    tenths = Counter(min(9, int(10 * kill.seconds / kill.whole)) for kill in killed)
    when = " ".join(str(tenths[tenth]) for tenth in range(10))
    return f"| {' | '.join([*names, str(len(kills)), *(str(found[each]) for each in (*FOUND, None)), when])} |"
