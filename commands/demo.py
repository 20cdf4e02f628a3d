"""The command ``demo``: a whole system from wheels, backed up, wrecked, restored and compared."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ..pipeline.reports import words
from ..stages.errors import ConfigurationError
from .console import tables
from .console.stopping import Stopped

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..demo.run import DemoResult
    from .invocation import Invocation


def demo(invocation: Invocation) -> int:
    """Run the demo; exit status 0 only when every row and every secret came back, twice."""
    from ..demo import run as running

    arguments = invocation.arguments
    if arguments.stop is not None:
        return _stop(invocation, arguments.stop)
    with ExitStack() as stack:
        if not arguments.quiet and not arguments.json:
            invocation.terminal.tell("Starting PostgreSQL, OpenBao and an S3 server")
        system = running.start(stack, arguments.keep, arguments.format)
        if arguments.keep is not None:
            stack.callback(running.stop, arguments.keep)  # they run as long as we do, unless somebody stops them
        result = invocation.job(
            lambda see: system.run(arguments.keys, invocation.tell, see, format=arguments.format), last=False
        )
        status = 0 if result.identical and result.drilled.verdict == "proven" else 1
        status = invocation.terminal.result(result.as_json(), shown(result), status)
        if arguments.keep is not None:
            _wait(invocation, arguments.keep)
    return status


def _stop(invocation: Invocation, directory: Path) -> int:
    from ..demo.run import stop

    stopped = stop(directory)
    if not stopped:
        raise ConfigurationError(
            f"No demo runs in {directory}.", hint="Name the directory that `kleidia-backup demo --keep` was given."
        )
    return invocation.terminal.result({"stopped": stopped}, [f"Stopped {', '.join(stopped)}."])


def _wait(invocation: Invocation, directory: Path) -> None:
    """Until Ctrl-C, or until somebody stops the servers."""
    from ..demo.run import running

    invocation.terminal.tell(how_to_go_on(directory))
    with suppress(Stopped):
        while running(directory):
            time.sleep(0.5)


def how_to_go_on(directory: Path) -> str:
    """What can be done with servers that run on, as it can be pasted into a shell."""
    configuration = shlex.quote(str(directory / "kleidia-backup.toml"))
    return (
        "The servers run on until Ctrl-C, or until "
        f"`kleidia-backup demo --stop {shlex.quote(str(directory))}`. Try for example:\n"
        f"  kleidia-backup --config {configuration} list"
    )


def shown(result: DemoResult) -> Iterator[RenderableType]:
    """What the demo prints at its end."""
    rows, number, kept = (
        words.count(many, noun)
        for many, noun in ((result.rows, "row"), (result.tables, "table"), (result.secrets, "secret"))
    )
    back, drilled = result.restored, result.drilled
    yield tables.facts(
        "Everything came back" if result.identical else "NOT everything came back",
        {
            "compared": f"{rows} of {number}, {kept}",
            "different": ", ".join(result.differences[:20]) or "nothing",
            "archive": f"{words.size(result.archive_bytes)} for {words.size(result.sql_bytes)} of SQL and the secrets",
            "drill": f"{drilled.verdict}, in {words.seconds(result.seconds['drill'])} {drilled.reason}".rstrip(),
            "restored": f"{words.count(back.written, 'secret')} written, {back.unchanged:,} unchanged",
        },
    )
    yield _times(result)
    yield tables.stages(result.backed_up.stages)


def _times(result: DemoResult) -> Table:
    """Our seconds beside those of the specification's Performance section."""
    from ..demo.run import PROMISED

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("keys", justify="right")
    table.add_column("backup", justify="right")
    table.add_column("restore", justify="right")
    table.add_column("")
    table.add_row(
        f"{result.keys:,}",
        words.seconds(result.seconds["backup"]),
        words.seconds(result.seconds["restore"]),
        "this run (the restore includes the verification)",
    )
    for keys, (backup, restore) in PROMISED.items():
        table.add_row(f"{keys:,}", _span(backup), _span(restore), "promised by the specification", style="dim")
    return table


def _span(seconds: tuple[int, int]) -> str:
    low, high = seconds
    return f"{low}-{high} s" if high < 60 else f"{low // 60}-{high // 60} min"
