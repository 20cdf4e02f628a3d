"""What an archive holds, by name, and what is different from it: the commands ``contents`` and ``diff``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..pipeline.archives.full_contents import full_contents
from ..pipeline.diff.run import diff as differences
from ..pipeline.reports import words
from .console import content_tables, diff_tables
from .console.exit_codes import WARNINGS

if TYPE_CHECKING:
    from ..pipeline.reports.contents import FullContents
    from ..pipeline.reports.diff import DiffReport
    from .invocation import Invocation


def contents(invocation: Invocation) -> int:
    """List tables, kinds of objects, extensions, roles, and with ``--secrets`` paths; no value of a secret."""
    store, given = invocation.store, invocation.arguments
    keys, password = invocation.keys, invocation.opening_password()
    found: FullContents = invocation.job(
        lambda on_progress: full_contents(
            given.name,
            store=store,
            password=password,
            keys=keys,
            secrets=given.secrets,
            on_progress=on_progress,
            timeout=invocation.limits.job_timeout,
        )
    )
    return invocation.terminal.result(words.as_json(found), content_tables.held(found))


def diff(invocation: Invocation) -> int:
    """Compare; exit status 0 whether or not they are equal, which the result says, and 8 when not all was compared."""
    store, given = invocation.store, invocation.arguments
    live = given.other is None
    database, vault = (invocation.database, invocation.vault) if live else (None, None)
    keys, password = invocation.keys, invocation.opening_password()
    report: DiffReport = invocation.job(
        lambda on_progress: differences(
            given.name,
            given.other,
            store=store,
            database=database,
            vault=vault,
            password=password,
            keys=keys,
            on_progress=on_progress,
            timeout=invocation.limits.job_timeout,
        )
    )
    status = WARNINGS if report.warnings else 0
    status = invocation.terminal.result(words.as_json(report), diff_tables.compared(report), status)
    for warning in report.warnings:
        invocation.terminal.warn(warning)
    return status
