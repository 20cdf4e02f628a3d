"""Some tables of an archive on the command line: ``restore NAME --table …``, really or dry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...pipeline.reports import words
from ...pipeline.tables.dry_run import plan_tables
from ...pipeline.tables.request import TablesRequest
from ...pipeline.tables.restore import run_restore_tables
from ...stages.pg.server.settings import listed, schemas
from ..console import some_tables
from ..console.ask import confirm
from ..console.exit_codes import WARNINGS
from ..invocation import Invocation, needed

if TYPE_CHECKING:
    from ...pipeline.reports.tables import TablesPlan, TablesReport


def restore_tables(invocation: Invocation) -> int:
    """Bring tables back, after asking; a copy beside what is there overwrites nothing, so nobody is asked.

    Dry: say what that would do; exit status 8 when it would fail.
    """
    given = invocation.arguments
    database = needed(invocation.places[0], invocation.config, "database", "The database to restore to")
    request = TablesRequest(
        name=given.name,
        store=invocation.store,
        database=database,
        password=invocation.opening_password(),
        keys=invocation.keys,
        tables=listed(given.table),
        copy=given.copy or "",
        search_path=schemas(given.search_path or ""),
        system=invocation.limits.system,
        from_other_system=given.from_other_system,
        backup_first=invocation.backup_before() if given.backup_first else None,
        timeout=invocation.limits.job_timeout,
    )
    if given.dry_run:
        return _plan(invocation, request)
    if not request.copy:
        names = words.printable(", ".join(request.tables))
        where = words.printable(database.where())
        question = f"In {where} this replaces {names} by what the archive {given.name} holds.\n"
        question += "It is backed up first." if request.backup_first else "This cannot be undone."
        confirm(question, yes=given.yes)
    report: TablesReport = invocation.job(
        lambda on_progress: run_restore_tables(request, on_progress=on_progress, log=invocation.terminal.log()),
        hide=("vault",),
    )
    values = {**words.as_json(report), "rows": report.rows}
    status = invocation.terminal.result(values, some_tables.restored(report))
    for warning in report.warnings:
        invocation.terminal.warn(warning)
    return status


def _plan(invocation: Invocation, request: TablesRequest) -> int:
    plan: TablesPlan = invocation.job(
        lambda on_progress: plan_tables(request, on_progress=on_progress, log=invocation.terminal.log()),
        hide=("vault",),
    )
    status = WARNINGS if plan.blockers else 0
    status = invocation.terminal.result(words.as_json(plan), some_tables.planned(plan), status)
    for warning in plan.warnings:
        invocation.terminal.warn(warning)
    return status
