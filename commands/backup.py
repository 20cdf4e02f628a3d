"""A backup on the command line."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..pipeline.backup import run_backup as back_up
from ..pipeline.parts.request import BackupRequest
from ..pipeline.reports import words
from .console import tables
from .console.exit_codes import WARNINGS
from .copying.sync import copy_new, copy_values
from .invocation import Invocation, needed

if TYPE_CHECKING:
    from ..pipeline.reports.jobs import BackupReport


def backup(invocation: Invocation) -> int:
    """Back up what ``--type`` says; exit status 8 when something that is there is not in the archive."""
    given, config, limits = invocation.arguments, invocation.config, invocation.limits
    database, vault, keys = invocation.database, invocation.vault, invocation.keys
    if given.type != "vault":
        needed(database, config, "database", "The database", "Or back up the vault alone, by --type vault.")
    if given.type != "database":
        needed(vault, config, "vault", "The vault", "Or back up the database alone, by --type database.")
    if database is not None and given.jobs is not None:
        database = replace(database, jobs=given.jobs)
    request = BackupRequest(
        store=invocation.store,
        database=database if given.type != "vault" else None,
        vault=vault if given.type != "database" else None,
        password=invocation.password(twice=True) if keys.password_slot else None,
        keys=keys,
        include_audit=limits.include_audit_logs if given.audit_logs is None else given.audit_logs,
        name=given.name,
        allow_unreadable=given.allow_unreadable,
        part_size=limits.part_size,
        format=given.format or limits.format,
        level=limits.level,
        system=limits.system,
        incremental=limits.incremental if given.incremental is None else given.incremental,
        timeout=limits.job_timeout,
    )
    report: BackupReport = invocation.job(
        lambda on_progress: back_up(request, on_progress=on_progress, log=invocation.terminal.log())
    )
    copied = copy_new(invocation, report.name)
    status = WARNINGS if report.unreadable_count or report.left_out else 0
    status = invocation.terminal.result(
        words.as_json(report) | copy_values(copied, report.name),
        tables.backed_up(report, verbose=invocation.terminal.verbose),
        status,
    )
    invocation.warn_all(report.warnings, "not in the archive", report.unreadable)
    return status
