"""The picture in README.md: what the demo prints, drawn by rich as SVG.

python docs/picture.py docs/demo.svg
"""

from __future__ import annotations

import io
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from rich.console import Console

from kleidia_backup.commands.console.progress import Bars
from kleidia_backup.commands.demo import shown
from kleidia_backup.demo.run import start

if TYPE_CHECKING:
    from kleidia_backup.pipeline.reports.jobs import Progress

_KEYS = 1000


def draw(path: Path, keys: int = _KEYS) -> None:
    """Run the demo and write its picture."""
    console = Console(record=True, width=88, file=io.StringIO(), force_terminal=True)
    bars = Bars(io.StringIO())
    last: list[str] = []

    def see(progress: Progress) -> None:
        if last and last[0] != progress.phase and last[0] in ("backup", "restore"):
            console.print(bars.renderable())
        bars(progress)
        last[:] = [progress.phase]

    def tell(text: str) -> None:
        if last and last[0] == "backup":
            console.print(bars.renderable())
            last.clear()
        console.print(text, highlight=False)

    with ExitStack() as stack:
        console.print("[bold]$ kleidia-backup demo[/bold]")
        tell("Starting PostgreSQL, OpenBao and an S3 server")
        system = start(stack, None)
        result = anyio.run(system.run, keys, tell, see)
        for each in shown(result):
            console.print(each)
    path.write_text(console.export_svg(title="kleidia-backup demo"), encoding="utf-8")


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
