"""A verification on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..pipeline.reports import words
from ..pipeline.verify import verify as read_all
from .console import tables

if TYPE_CHECKING:
    from ..pipeline.reports.jobs import VerifyReport
    from .invocation import Invocation


def verify(invocation: Invocation) -> int:
    """Read an archive to its last byte and check it; with ``--password-only`` its first bytes."""
    if invocation.arguments.password_only:
        from .look import check_password

        return check_password(invocation)
    store, name = invocation.store, invocation.arguments.name
    password, keys = invocation.opening_password(), invocation.keys
    report: VerifyReport = invocation.job(
        lambda on_progress: read_all(
            name,
            store=store,
            password=password,
            keys=keys,
            on_progress=on_progress,
            log=invocation.terminal.log(),
            timeout=invocation.limits.job_timeout,
        )
    )
    return invocation.terminal.result(
        words.as_json(report), tables.verified(report, verbose=invocation.terminal.verbose)
    )
