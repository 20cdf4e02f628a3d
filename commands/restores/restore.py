"""A whole restore on the command line, and the way to every other kind of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...pipeline.archives.actions import inspect
from ...pipeline.reports import words
from ...pipeline.restore import run_restore as bring_back
from ..console import tables
from ..console.ask import confirm
from ..console.exit_codes import WARNINGS
from .undo import dismiss, refuse, undo

if TYPE_CHECKING:
    from ...pipeline.reports.jobs import RestoreReport
    from ..invocation import Invocation


def restore(invocation: Invocation) -> int:
    """Restore an archive, after asking; exit status 8 when a part of it was not restored, or not all was removed."""
    given = invocation.arguments
    # Each kind of restore brings what it alone needs: a dry run answers in half a second.
    if given.undo or given.dismiss:
        return undo(invocation) if given.undo else dismiss(invocation)
    if given.table:
        from .some_tables import restore_tables

        return restore_tables(invocation)
    if given.fresh:
        from . import fresh
    if given.dry_run:
        from ..look import plan

        if given.fresh:
            fresh.look(invocation, invocation.restore_request())
        return plan(invocation)
    refuse(invocation)
    request = invocation.restore_request() if given.fresh else None
    missing = None if request is None else fresh.look(invocation, request)
    if not given.yes and (question := _question(invocation)):
        confirm(question, yes=False)
        vault = invocation.places[1]
        if given.prune and vault is not None:
            confirm(words.prune_question(vault.roots), yes=False)
    request = request or invocation.restore_request()
    if missing is not None:
        fresh.make(invocation, request, missing)
    report: RestoreReport = invocation.job(
        lambda on_progress: bring_back(request, on_progress=on_progress, log=invocation.terminal.log()),
        hide=invocation.left_alone,
    )
    status = WARNINGS if report.failed_count or report.unpruned_count or report.left_alone else 0
    status = invocation.terminal.result(
        words.as_json(report), tables.restored(report, verbose=invocation.terminal.verbose), status
    )
    invocation.warn_all(report.warnings, "not written", report.failed)
    return status


def _made_by(system: str) -> str:
    """What the archive says of where it is from; format V1 leaves it open."""
    if not system:
        return "The archive does not say which system it is of: look at the prefix of its name."
    return f"The archive is of the system {words.printable(system)}."


_FINAL = "This cannot be undone."
_FIRST = "What is there now is backed up first."


def _question(invocation: Invocation) -> str:
    """What a restore overwrites, and with what; empty when it cannot overwrite anything, which is told soon enough."""
    info, preamble = invocation.stopper.run(lambda: inspect(invocation.arguments.name, invocation.store))
    header, targets, only = preamble.header, [], invocation.arguments.only
    database, vault = invocation.places
    if header.includes_db and database is not None and only != "vault":
        targets.append(f"  {database.where()}: what the archive holds of it is dropped and made again")
    if header.includes_kv and vault is not None and only != "database":
        roots = ", ".join(str(root) for root in vault.roots)
        chosen = f"the secret {invocation.arguments.to or ', '.join(invocation.arguments.secret)}, "
        which = chosen if invocation.arguments.secret else "secrets "
        targets.append(f"  vault at {vault.address}: {which}below {roots}")
    if not targets:
        return ""
    made = words.moment(header.created_at)
    lines = [f"{info.name} ({header.backup_type}, made {made}, {words.size(info.size)}) will overwrite", *targets]
    return (
        "\n".join("  " * line.startswith("  ") + words.printable(line) for line in lines)
        + f"\n{_made_by(header.system)}\n{_FIRST if invocation.arguments.backup_first else _FINAL}"
    )
