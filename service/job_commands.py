"""Backup, restore and verification on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..pipeline.archives import inspect
from ..pipeline.backup import backup as back_up
from ..pipeline.restore import restore as bring_back
from ..pipeline.verify import verify as read_all
from . import tables, words
from .ask import confirm
from .commands import Invocation, needed
from .exit_codes import WARNINGS
from .look_commands import check_password, plan
from .undo_commands import dismiss, refuse, undo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..pipeline.report import BackupReport, RestoreReport, VerifyReport


def backup(invocation: Invocation) -> int:
    """Back up what ``--type`` says; exit status 8 when some secrets could not be read and that was allowed."""
    given, config = invocation.arguments, invocation.config
    database, vault = invocation.database, invocation.vault
    if given.type != "vault":
        needed(database, config, "database", "The database", "Or back up the vault alone, by --type vault.")
    if given.type != "database":
        needed(vault, config, "vault", "The vault", "Or back up the database alone, by --type database.")
    audit = (
        config.get("backup", "include_audit_logs", bool) is not False if given.audit_logs is None else given.audit_logs
    )
    store, part_size = invocation.store, config.get("backup", "part_size", int)
    password = invocation.password(twice=True)
    report: BackupReport = invocation.job(
        lambda on_progress: back_up(
            store=store,
            password=password,
            database=database if given.type != "vault" else None,
            vault=vault if given.type != "database" else None,
            include_audit=audit,
            name=given.name,
            allow_unreadable=given.allow_unreadable,
            part_size=part_size,
            on_progress=on_progress,
            log=invocation.terminal.log(),
            **invocation.timeout,
        )
    )
    status = WARNINGS if report.unreadable_count else 0
    status = invocation.terminal.result(words.as_json(report), tables.backed_up(report), status)
    _warn(invocation, report.warnings, "not in the archive", report.unreadable)
    return status


def restore(invocation: Invocation) -> int:
    """Restore an archive, after asking; exit status 8 when a part of it was not restored, or not all was removed."""
    given = invocation.arguments
    if given.undo or given.dismiss:
        return undo(invocation) if given.undo else dismiss(invocation)
    if given.dry_run:
        return plan(invocation)
    refuse(invocation)
    store, database, vault = invocation.store, invocation.database, invocation.vault
    if not given.yes and (question := _question(invocation)):
        confirm(question, yes=False)
        if given.prune and vault is not None:
            confirm(words.prune_question(vault.roots), yes=False)
    password = invocation.password()
    report: RestoreReport = invocation.job(
        lambda on_progress: bring_back(
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
    status = WARNINGS if report.failed_count or report.unpruned_count or report.left_alone else 0
    status = invocation.terminal.result(words.as_json(report), tables.restored(report), status)
    _warn(invocation, report.warnings, "not written", report.failed)
    return status


def verify(invocation: Invocation) -> int:
    """Read an archive to its last byte and check it; with ``--password-only`` its first bytes."""
    if invocation.arguments.password_only:
        return check_password(invocation)
    store, name = invocation.store, invocation.arguments.name
    password = invocation.password()
    report: VerifyReport = invocation.job(
        lambda on_progress: read_all(
            name,
            store=store,
            password=password,
            on_progress=on_progress,
            log=invocation.terminal.log(),
            **invocation.timeout,
        )
    )
    return invocation.terminal.result(words.as_json(report), tables.verified(report))


def _question(invocation: Invocation) -> str:
    """What a restore overwrites, and with what; empty when it cannot overwrite anything, which is told soon enough."""
    info, preamble = invocation.stopper.run(lambda: inspect(invocation.arguments.name, invocation.store))
    header, targets, only = preamble.header, [], invocation.arguments.only
    if header.includes_db and invocation.database is not None and only != "vault":
        targets.append(f"  {invocation.database.where()}: what the archive holds of it is dropped and made again")
    if header.includes_kv and invocation.vault is not None and only != "database":
        roots = ", ".join(str(root) for root in invocation.vault.roots)
        targets.append(f"  vault at {invocation.vault.address}: secrets below {roots}")
    if not targets:
        return ""
    made = words.moment(header.created_at)
    lines = [f"{info.name} ({header.backup_type}, made {made}, {words.size(info.size)}) will overwrite", *targets]
    return (
        "\n".join("  " * line.startswith("  ") + words.printable(line) for line in lines) + "\nThis cannot be undone."
    )


def _warn(invocation: Invocation, warnings: Iterable[str], what: str, paths: Iterable[str]) -> None:
    for warning in warnings:
        invocation.terminal.warn(warning)
    if not invocation.terminal.json:  # there they are in the result
        for path in paths:
            invocation.terminal.warn(f"{what}: {path}")
