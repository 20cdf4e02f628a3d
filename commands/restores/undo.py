"""The end of an unfinished restore on the command line: ``restore --undo`` and ``restore --dismiss``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...pipeline.reports import words
from ...pipeline.undo import dismiss_restore, refuse_unfinished, undo_restore
from ...stages.errors import ConfigurationError, UnfinishedRestore
from ..console import tables
from ..console.ask import confirm
from ..console.exit_codes import WARNINGS
from ..invocation import Invocation, needed

if TYPE_CHECKING:
    from ...pipeline.reports.jobs import UndoReport


def undo(invocation: Invocation) -> int:
    """Put back what an unfinished restore wrote; exit status 8 when something could not be put back."""
    config, database = invocation.config, invocation.places[0]
    vault = needed(invocation.vault, config, "vault", "The vault that the restore wrote to")
    report: UndoReport = invocation.job(
        lambda on_progress: undo_restore(
            vault=vault,
            database=database,
            state=invocation.limits.state,
            on_progress=on_progress,
            log=invocation.terminal.log(),
        )
    )
    status = WARNINGS if report.left_count else 0
    status = invocation.terminal.result(words.as_json(report), tables.undone(report), status)
    if report.left_count:
        invocation.terminal.warn(
            f"{words.count(report.left_count, 'secret')} could not be put back. Look at them; then "
            f"`kleidia-backup restore --undo` tries again, and `kleidia-backup restore --dismiss` leaves them. "
            f"All names are in {report.journal}."
        )
    if not invocation.terminal.json:  # there they are in the result
        for path, why in report.left:
            invocation.terminal.warn(f"not put back: {path}: {why}")
    return status


def dismiss(invocation: Invocation) -> int:
    """Forget an unfinished restore, after asking; what it wrote stays."""
    try:
        invocation.stopper.run(lambda: refuse_unfinished(invocation.limits.state))
    except (UnfinishedRestore, ConfigurationError) as exc:  # a journal that nobody can read is dismissed too
        confirm(f"{words.printable(exc.message)}\nDismissed, it stays so.", yes=invocation.arguments.yes)
    path = invocation.job(lambda _: dismiss_restore(invocation.limits.state), "dismissing")
    return invocation.terminal.result({"dismissed": str(path)}, [f"Dismissed; {words.printable(path)} is removed."])


def refuse(invocation: Invocation) -> None:
    """Raise ``UnfinishedRestore`` before anybody is asked anything, when there is one."""
    invocation.stopper.run(lambda: refuse_unfinished(invocation.limits.state))
