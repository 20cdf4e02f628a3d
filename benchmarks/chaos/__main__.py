"""Kill commands at random moments, and judge what is there afterwards: ``python -m benchmarks.chaos [KILLS]``.

``kill -9`` for the process group of backup, restore, undo, rewrap, drill and retention, with archives of both formats,
in a directory and on S3. The seed says which, and at which part of its duration; the seconds follow from how long the
same command took the last time. So the moments are others on another machine, and what is judged holds for any.
Exit status 1 says that something was not as it must be. ``--page`` writes the table into docs/kills.md.
"""

from __future__ import annotations

import argparse
import queue
import random
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import structlog

from tests.memory import has_room

from .commands import ROOT, Wrong
from .forking import hurry
from .operations import Cell, Trial
from .place import FORMATS, STORES, Place, place
from .records import Kill, table

PAGE = ROOT / "docs" / "kills.md"
BEGIN, END = "<!-- kills -->\n", "<!-- /kills -->\n"
#: Of the moments a part comes when the command should have ended: the end of a slow one is struck as well.
REACH = 1.1
#: One drill of so many has servers of its own, which take seconds to start.
EMBEDDED = 4


def cells() -> list[Cell]:
    """Everything that is killed."""
    made = [Cell(each, "v2", store) for each in ("rewrap",) for store in STORES]
    for archive_format in FORMATS:
        for store in STORES:
            made += [Cell(each, archive_format, store) for each in ("backup", "restore", "undo", "retention")]
            made.append(Cell("drill", archive_format, store, "configured"))
    return made


def moments(kills: int, seed: int, only: str) -> Iterator[tuple[int, Cell, float]]:
    """What is killed, and at which part of its duration: every cell as often as the others, in a random order."""
    chance = random.Random(seed)
    chosen = [cell for cell in cells() if only in str(cell)]
    rounds: list[Cell] = []
    drills = 0
    for number in range(kills):
        if not rounds:
            rounds = chance.sample(chosen, len(chosen))
        cell = rounds.pop()
        if cell.operation == "drill":
            drills += 1
            if drills % EMBEDDED == 0:
                cell = Cell("drill", cell.format, cell.store, "embedded")
        yield number, cell, REACH * chance.random()


class Lane(threading.Thread):
    """One place, on which one command after another is killed."""

    def __init__(self, where: Place, waiting: queue.SimpleQueue[tuple[int, Cell, float]], kills: list[Kill]) -> None:
        super().__init__(daemon=True)
        self._place, self._waiting, self._kills = where, waiting, kills
        self._whole: dict[Cell, float] = {}

    def run(self) -> None:
        """Until nothing waits."""
        while True:
            try:
                number, cell, part = self._waiting.get_nowait()
            except queue.Empty:
                return
            kill = self._kill(number, cell, part)
            print(kill.line, flush=True)
            self._kills.append(kill)

    def _kill(self, number: int, cell: Cell, part: float) -> Kill:
        trial = Trial(cell, self._place)
        whole = seconds = 0.0
        try:
            if cell not in self._whole:
                self._undisturbed(trial)
            trial.prepare()
            whole = self._whole[cell]
            ran = trial.killed(part * whole)
            seconds = ran.seconds
            found, after = trial.judge(ran)
            if after.arguments == trial.arguments:
                self._whole[cell] = after.seconds
            return Kill(number, cell, seconds, whole, found)
        except Exception as exc:  # noqa: BLE001 - the other kills are still to be made, and this one is told
            wrong = str(exc) if isinstance(exc, Wrong) else traceback.format_exc()
            self._place.clear()
            return Kill(number, cell, seconds, whole or 1.0, None, wrong)

    def _undisturbed(self, trial: Trial) -> None:
        """How long it takes."""
        trial.prepare()
        ran = trial.run(*trial.arguments).must(0)
        _, after = trial.judge(ran)
        self._whole[trial.cell] = (after if after.arguments == trial.arguments else ran).seconds


def kill_all(directory: Path, given: argparse.Namespace) -> list[Kill]:
    """All kills, in lanes beside each other."""
    waiting: queue.SimpleQueue[tuple[int, Cell, float]] = queue.SimpleQueue()
    for each in moments(given.kills, given.seed, given.only):
        waiting.put(each)
    kills: list[Kill] = []
    with ExitStack() as stack:
        lanes = [
            Lane(stack.enter_context(place(directory / f"place-{number}")), waiting, kills)
            for number in range(given.lanes)
        ]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
    return sorted(kills, key=lambda kill: kill.number)


def main() -> int:
    """Kill, print a line for each and the table; 1 when something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kills", nargs="?", type=int, default=100, help="how many (default: 100)")
    parser.add_argument("--seed", type=int, default=20261129, help="which, and when (default: the same each time)")
    parser.add_argument("--only", default="", metavar="TEXT", help="of those whose name has this, such as 'undo v2'")
    parser.add_argument("--lanes", type=int, default=2, help="so many at the same time (default: 2)")
    parser.add_argument("--page", action="store_true", help="write the table into docs/kills.md")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    hurry()
    began = time.monotonic()
    print(f"seed {given.seed}", flush=True)
    where = "/dev/shm" if has_room() else None
    with tempfile.TemporaryDirectory(prefix="kleidia-chaos-", dir=where) as name:
        directory = Path(name)
        directory.chmod(0o711)  # PostgreSQL runs as another account, and must pass through
        kills = kill_all(directory, given)
    made = table(kills)
    minutes = (time.monotonic() - began) / 60
    wrong = [kill for kill in kills if kill.wrong]
    print(f"\n{made}\n{len(kills)} kills in {minutes:.1f} minutes, {len(wrong)} wrong, seed {given.seed}")
    if given.page and not given.only:
        what = f"{datetime.now(UTC):%Y-%m-%d}: {len(kills)} kills in {minutes:.0f} minutes, seed {given.seed}."
        write_page(f"{what}\n\n{made}")
    return 1 if wrong or len(kills) < given.kills else 0


def write_page(text: str) -> None:
    """Put the table between the page's markers."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}{text}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
