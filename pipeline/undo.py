"""The end of a restore that ended in the middle: its secrets are put back, or it is dismissed.

Until then no other restore begins: nobody could tell any more what was there before.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..stages.errors import UnfinishedRestore
from ..stages.load.meter import measured
from ..stages.vault.undo.journal import Journal, dismiss, unfinished
from ..stages.vault.undo.state import StateLook, look
from .engine import in_thread
from .job import Job, Logger
from .reports.jobs import OnProgress, UndoReport

if TYPE_CHECKING:
    from ..stages.pg.server.settings import PostgresSettings
    from ..stages.vault.kv.settings import VaultSettings
    from ..stages.vault.undo.journal_records import Commit
    from ..stages.vault.undo.undo import VaultUndoReport


async def undo_restore(
    *,
    vault: VaultSettings,
    database: PostgresSettings | None = None,
    state: Path | None = None,
    on_progress: OnProgress = None,
    log: Logger | None = None,
) -> UndoReport:
    """Put back the secrets that a restore wrote which ended in the middle; what cannot be is in the report's ``left``.

    Nothing that somebody else wrote since is overwritten (``stages/vault/undo.py`` names one exception). The journal
    is removed when nothing is left. It may be interrupted and called again. ``database`` is asked when the restore
    ended during its COMMIT: if that took place, everything stays as it is and the report says ``committed``.

    The vault may have another address now. Raises ``ConfigurationError`` when no restore is unfinished, or its vault
    was another one; ``UnfinishedRestore`` when nobody says whether it was committed; ``Busy`` while it is running; and
    ``VaultError``.
    """
    from .parts.undoing import put_back  # with it comes the vault's client

    job = Job(on_progress, log)
    journal = await in_thread(Journal.resume, state)
    try:
        with measured(job.meter):
            journal.check(vault)
            if journal.commit and await _committed(journal, journal.commit, database):
                journal.remove()
                return _report(job, journal)
            done = await put_back(job, vault, journal)
            if not done.left.count:
                journal.remove()
            return _report(job, journal, done)
    finally:
        journal.close()


async def dismiss_restore(state: Path | None = None) -> Path:
    """Forget a restore that ended in the middle: what it wrote stays. Returns where its journal was.

    Raises ``ConfigurationError`` when no restore is unfinished, and ``Busy`` while it is running.
    """
    return await in_thread(dismiss, state)


async def refuse_unfinished(state: Path | None = None) -> None:
    """Raise ``UnfinishedRestore`` when a restore ended in the middle and was neither undone nor dismissed."""
    if found := await unfinished_restore(state):
        raise found


async def unfinished_restore(state: Path | None = None) -> UnfinishedRestore | None:
    """The restore that ended in the middle, if there is one: no other may begin before it was undone or dismissed."""
    found = await in_thread(unfinished, state)
    return found.error() if found else None


async def look_at_state(state: Path | None = None, *, mark: bool = False) -> StateLook:
    """What there is in the state directory; ``mark`` gives it a name of its own there, if it has none."""
    return await in_thread(partial(look, state, mark=mark))


def _report(job: Job, journal: Journal, done: VaultUndoReport | None = None) -> UndoReport:
    """What was ``done``; None: nothing, for the restore was committed."""
    header, seconds, load = journal.header, job.finish(), job.meter.load()
    if done is None:
        return UndoReport(archive=header.archive, started=header.started, committed=True, seconds=seconds, load=load)
    return UndoReport(
        archive=header.archive,
        started=header.started,
        put_back=done.put_back,
        removed=done.removed,
        unchanged=done.unchanged,
        left_count=done.left.count,
        left=tuple(done.left.names),
        journal=str(journal.path) if done.left.count else "",
        seconds=seconds,
        load=load,
    )


async def _committed(journal: Journal, commit: Commit, database: PostgresSettings | None) -> bool:
    """What PostgreSQL says of a COMMIT under which the restore ended. Raises ``UnfinishedRestore`` when nothing."""
    ask = f"SELECT txid_status({commit.transaction}) on the {commit.database} answers committed or aborted."
    why = "no database is configured to be asked"
    if database is not None:
        from .parts.database import became

        status = await became(database, (commit.transaction, commit.database))
        if status in {"committed", "aborted"}:
            return status == "committed"
        why = f"PostgreSQL says: {status}"
    header = journal.header
    raise UnfinishedRestore(
        f"The restore of {header.archive}, begun at {header.started}, ended during COMMIT, and {why}.",
        hint=f"{ask} If it was committed: `kleidia-backup restore --dismiss`.",
        effect="unknown",
        remedies=("dismiss",),
        archive=header.archive,
        started=header.started,
        count=journal.writes,
    )
