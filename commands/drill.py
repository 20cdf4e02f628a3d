"""The command ``drill``: proof that an archive can be restored, and a report that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config.drills.reports import drill_settings, reports_directory
from ..config.drills.scratch import configured_scratch
from ..demo.scratch import embedded, installed
from ..pipeline.drill import run_drill
from ..pipeline.drills.asked import DrillRequest
from ..pipeline.drills.kept import as_document, check_reports
from ..pipeline.reports import words
from ..stages.errors import ConfigurationError
from .console import tables
from .console.exit_codes import WARNINGS
from .records.who import user

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from ..config.drills.settings import DrillSettings
    from ..pipeline.drills.asked import ScratchMaker
    from ..pipeline.drills.report import DrillReport
    from ..stages.pg.server.settings import PostgresSettings
    from ..stages.vault.kv.settings import VaultSettings
    from .invocation import Invocation

#: The exit status of each verdict: a failed drill is the archive's fault, an inconclusive one says nothing.
_STATUS = {"proven": 0, "failed": 3, "inconclusive": WARNINGS}
_TITLES = {
    "proven": "Proven: everything came back",
    "failed": "FAILED: not everything came back",
    "inconclusive": "Inconclusive: the drill says nothing about the archive",
}
#: Failures that are shown; the report has them all.
_SHOWN = 20


def drill(invocation: Invocation) -> int:
    """Drill; exit status 3 when the archive failed, 8 when the drill was inconclusive."""
    given, config = invocation.arguments, invocation.config
    settings = drill_settings(config)
    reports = reports_directory(settings, invocation.limits.state)
    if given.check_reports:
        return _check(invocation)
    database, vault = invocation.database, invocation.vault
    request = DrillRequest(
        name=given.name,
        store=invocation.store,
        scratch=scratch_for(settings, database, vault, given.target),
        password=invocation.opening_password(),
        keys=invocation.keys,
        database=database,
        vault=vault,
        checks=settings.checks,
        reports=reports,
        restore_within=settings.restore_within,
        not_older_than=settings.not_older_than,
        show_paths=given.paths,
        requested_by=user(),
        timeout=invocation.limits.job_timeout,
    )
    report = invocation.job(
        lambda on_progress: run_drill(request, on_progress=on_progress, log=invocation.terminal.log())
    )
    values = as_document(report) | {"file": report.file}
    status = invocation.terminal.result(values, shown(report), _STATUS[report.verdict])
    for warning in report.warnings:
        invocation.terminal.warn(warning)
    if report.left_behind:
        invocation.terminal.warn(f"Not cleaned up: {report.left_behind}")
    return status


def scratch_for(
    settings: DrillSettings, database: PostgresSettings | None, vault: VaultSettings | None, target: str | None = None
) -> ScratchMaker:
    """Where drills restore to: ``target``, else as configured, else embedded servers where their wheels are.

    Raises ``ConfigurationError``.
    """
    target = target or settings.target or ("embedded" if installed() else "configured")
    return embedded if target == "embedded" else configured_scratch(settings, database, vault)


def _check(invocation: Invocation) -> int:
    """Check the chain of the reports, and their signatures where a key is trusted."""
    keys = invocation.keys
    own = () if keys.signing_key is None else (keys.signing_key.public,)
    directory = reports_directory(drill_settings(invocation.config), invocation.limits.state)
    found = check_reports(directory, (*keys.trusted_signers, *own))
    if not found:
        raise ConfigurationError(f"There is no report of a drill in {directory}.", hint="Run a drill first.")
    lines = [f"{each.file}: {each.verdict or 'unreadable'}, {each.trouble or 'as it was written'}" for each in found]
    status = 3 if any(each.trouble for each in found) else 0
    return invocation.terminal.result({"directory": directory, "reports": found}, map(words.printable, lines), status)


def shown(report: DrillReport) -> Iterator[RenderableType]:
    """What the command prints."""
    yield tables.facts(_TITLES[report.verdict], dict(_pairs(report)))
    for failure in report.failures[:_SHOWN]:
        yield words.printable(f"{failure.check}: {failure.name}")
    if len(report.failures) > _SHOWN:
        yield f"and {len(report.failures) - _SHOWN:,} more: see the report"


def _pairs(report: DrillReport) -> Iterator[tuple[str, str]]:
    yield "archive", report.archive.key
    if report.reason:
        yield "reason", report.reason
    if report.database is not None:
        found = report.database.tables
        rows = sum(table.rows_in_archive for table in found)
        equal = sum(table.equal for table in found)
        objects = report.database.objects
        yield "rows", f"{words.count(rows, 'row')} of {words.count(len(found), 'table')}, {equal:,} of them equal"
        number = objects.sequences + objects.constraints + objects.indexes + objects.routines
        yield "objects", f"{number:,} sequences, constraints, indexes and routines"
    if report.vault is not None:
        yield "secrets", f"{report.vault.equal:,} of {report.vault.secrets_in_archive:,} equal"
        if described := report.vault.metadata_compared:
            yield "metadata", f"{described - report.vault.metadata_other:,} of {described:,} equal"
    for check in report.checks:
        yield f"check: {check.name}", "passed" if check.passed else f"NOT passed: {check.found}, not {check.expected}"
    if report.rto.seconds is not None:
        met = {None: "", True: ", in time", False: ", LONGER than wanted"}[report.rto.met]
        yield "restored in", f"{words.seconds(report.rto.seconds)}{met}"
    yield from words.loads(report.load).items()
    if report.next_step:
        yield "next", report.next_step
    if report.file:
        yield "report", report.file
