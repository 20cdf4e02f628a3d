"""Looking before leaping, on the command line: the dry run of a restore, and the quick test of a password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..pipeline.plan import run_plan
from ..pipeline.reports import words
from ..pipeline.verify import verify_password
from .console import plan_tables, tables
from .console.exit_codes import WARNINGS

if TYPE_CHECKING:
    from ..pipeline.reports.plan import RestorePlan
    from .invocation import Invocation


def plan(invocation: Invocation) -> int:
    """Say what a restore would do; exit status 8 when it would fail, or leave a part of the archive alone."""
    request = invocation.restore_request()
    made: RestorePlan = invocation.job(
        lambda on_progress: run_plan(request, on_progress=on_progress, log=invocation.terminal.log()),
        hide=invocation.left_alone,
    )
    status = WARNINGS if made.blockers or made.left_alone else 0
    status = invocation.terminal.result(words.as_json(made), plan_tables.planned(made), status)
    for warning in made.warnings:
        invocation.terminal.warn(warning)
    return status


def check_password(invocation: Invocation) -> int:
    """Say whether the password opens an archive, and that this is not yet a verification."""
    store, name = invocation.store, invocation.arguments.name
    password, keys = invocation.opening_password(), invocation.keys
    report = invocation.job(lambda _: verify_password(name, store=store, password=password, keys=keys), "opening")
    pairs = {"archive": f"{report.name}, {words.size(report.size)}", **tables.contents(report.header)}
    pairs["still to come"] = "the verification: only its first bytes were read (`kleidia-backup verify NAME` reads all)"
    values = {each: getattr(report, each) for each in ("name", "size", "header", "seconds")}
    return invocation.terminal.result(
        {**values, "key" if password is None else "password": "right", "verified": False},
        [tables.facts(f"The {'key' if password is None else 'password'} opens the archive", pairs)],
    )
