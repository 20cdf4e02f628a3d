"""Looking before leaping, on the command line: the dry run of a restore, and the quick test of a password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..pipeline.plan import plan_restore
from ..pipeline.verify import verify_password
from . import plan_tables, tables, words
from .exit_codes import WARNINGS

if TYPE_CHECKING:
    from ..pipeline.plan_report import RestorePlan
    from .commands import Invocation


def plan(invocation: Invocation) -> int:
    """Say what a restore would do; exit status 8 when it would fail, or leave a part of the archive alone."""
    given = invocation.arguments
    store, database, vault = invocation.store, invocation.database, invocation.vault
    password = invocation.password()
    made: RestorePlan = invocation.job(
        lambda on_progress: plan_restore(
            given.name,
            store=store,
            password=password,
            database=database,
            vault=vault,
            only=given.only,
            prune=given.prune,
            state=invocation.state,
            on_progress=on_progress,
            log=invocation.terminal.log(),
            **invocation.timeout,
        ),
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
    password = invocation.password()
    report = invocation.job(lambda _: verify_password(name, store=store, password=password), "opening")
    pairs = {"archive": f"{report.name}, {words.size(report.size)}", **tables.contents(report.header)}
    pairs["still to come"] = "the verification: only its first bytes were read (`kleidia-backup verify NAME` reads all)"
    values = {each: getattr(report, each) for each in ("name", "size", "header", "seconds")}
    return invocation.terminal.result(
        {**values, "password": "right", "verified": False},
        [tables.facts("The password opens the archive", pairs)],
    )
