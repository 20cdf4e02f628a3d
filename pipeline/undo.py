"""What a restore that failed does with the secrets that it had written: it puts back what was there before.

The order: the transaction in PostgreSQL has ended before the first secret is put back, because a restore opens it
last and so leaves it first. Without a COMMIT nothing can commit it any more, and after a COMMIT that failed the server
said so. The lock on the database is still held then, so that no other restore begins in between.

Where the process died, or only PostgreSQL knows whether the COMMIT took place, the journal stays. No other restore
begins before ``undo_restore`` or ``dismiss_restore`` ended it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import anyio

from ..stages.errors import CommitUncertain, ConfigurationError, DatabaseError, KleidiaError, UnfinishedRestore
from ..stages.words import count, one_or_more
from .engine import in_thread
from .job import Job
from .report import UndoReport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from ..stages.pg.settings import PostgresSettings
    from ..stages.vault.client import VaultClient
    from ..stages.vault.journal import Journal
    from ..stages.vault.journal_records import Commit
    from ..stages.vault.settings import VaultSettings
    from ..stages.vault.undo import VaultUndo, VaultUndoReport
    from .job import Logger
    from .report import OnProgress

#: Seconds in which a failed or cancelled restore puts secrets back; what is not done then stays in the journal.
UNDO_TIMEOUT = 30 * 60.0
#: Seconds between two reports of progress.
_INTERVAL = 0.2
#: Secrets that a message names.
_SHOWN = 10

_LATER = "`kleidia-backup restore --undo` tries again; `kleidia-backup restore --dismiss` leaves them as they are."


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
    from ..stages.vault.client import VaultClient
    from ..stages.vault.identity import cluster_of
    from ..stages.vault.journal import Journal
    from ..stages.vault.undo import VaultUndoReport

    job = Job(on_progress, log)
    journal = await in_thread(Journal.resume, state)
    try:
        journal.check(vault)
        if journal.commit and await _committed(journal, journal.commit, database):
            journal.remove()
            return _report(job, journal, VaultUndoReport(), committed=True)
        async with VaultClient(vault) as client:
            journal.check(vault, await cluster_of(client))
            undo = _undo_of(job, client, journal)
            await undo()
        if not undo.report.left_count:
            journal.remove()
        return _report(job, journal, undo.report)
    finally:
        journal.close()


async def dismiss_restore(state: Path | None = None) -> Path:
    """Forget a restore that ended in the middle: what it wrote stays. Returns where its journal was.

    Raises ``ConfigurationError`` when no restore is unfinished, and ``Busy`` while it is running.
    """
    from ..stages.vault.journal import dismiss

    return await in_thread(dismiss, state)


async def refuse_unfinished(state: Path | None = None) -> None:
    """Raise ``UnfinishedRestore`` when a restore ended in the middle and was neither undone nor dismissed."""
    from ..stages.vault.journal import unfinished

    if found := await in_thread(unfinished, state):
        raise found.error()


@asynccontextmanager
async def undone_on_failure(
    job: Job, client: VaultClient, archive: str, state: Path | None, rolled_back: Callable[[], bool]
) -> AsyncIterator[Journal]:
    """A journal for a restore's vault sink; unless it was removed, leaving puts back what the sink wrote.

    The error that ends the restore says so, and names what could not be put back. A cancellation says nothing, and
    becomes ``UnfinishedRestore`` when something could not. ``rolled_back`` says whether PostgreSQL told that it rolled
    back. Entering raises ``Busy``, ``UnfinishedRestore``, and ``ConfigurationError`` for an unusable state directory.
    """
    from ..stages.vault.identity import cluster_of
    from ..stages.vault.journal import Journal

    cluster = await cluster_of(client)
    journal = await in_thread(lambda: Journal.begin(archive, client.settings, state, cluster=cluster))
    try:
        yield journal
    except BaseException as exc:
        if journal.closed:
            raise
        if not journal.writes:
            journal.remove()
            raise
        told = (await _end(job, client, journal, known=rolled_back() or _refused_commit(exc))).onto(exc)
        if told is exc:
            raise
        raise told from exc
    finally:
        journal.close()


@dataclass
class _Ending:
    """How it ended: a sentence and a hint to add to the restore's error. ``left`` says that not all is put back."""

    text: str
    hint: str = ""
    left: bool = False
    paths: tuple[str, ...] = ()

    def onto(self, error: BaseException) -> BaseException:
        """The error to raise."""
        if isinstance(error, KleidiaError):
            hint = error.hint.replace("Nothing was changed", "The database is as before") if self.left else error.hint
            error.message = f"{error.message} {self.text}".rstrip()
            error.hint = f"{self.hint} {hint}".strip()
            error.args = (error.message,)
            return error
        if not self.left:
            return error
        return UnfinishedRestore(f"The restore was stopped. {self.text}", hint=self.hint, paths=self.paths)


async def _end(job: Job, client: VaultClient, journal: Journal, *, known: bool) -> _Ending:
    """Put everything back, unless PostgreSQL may have committed; whatever happens, it is told and not raised."""
    if journal.commit and not known:
        return _Ending(
            f"Up to {_written(journal.writes, 'is', 'are')} in the vault.",
            "When PostgreSQL answers, `kleidia-backup restore --undo` asks it whether the restore took place, and puts "
            "back what was there before if it did not.",
            left=True,
        )
    undo = _undo_of(job, client, journal)
    broke = f"there was no time to put them back within {UNDO_TIMEOUT / 60:.0f} minutes"
    try:
        with anyio.move_on_after(UNDO_TIMEOUT, shield=True):
            await undo()
            broke = ""
    except Exception as exc:  # noqa: BLE001 - the error that ended the restore must not be lost for this one
        broke = exc.message.rstrip(".") if isinstance(exc, KleidiaError) else f"{type(exc).__name__}, a bug of ours"
        job.log("undo failed", error=str(exc))
    done = undo.report
    if broke or done.left_count:
        return _incomplete(journal, done, broke)
    journal.remove()
    back = done.put_back + done.removed
    if not back:
        return _Ending("")
    return _Ending(
        "The secret that it had written was put back."
        if back == 1
        else f"The {back:,} secrets that it had written were put back."
    )


def _incomplete(journal: Journal, done: VaultUndoReport, broke: str) -> _Ending:
    sentences = []
    if broke:
        rest = max(0, journal.writes - done.total)
        sentences.append(f"Up to {_written(rest, 'is', 'are')} still in the vault: {broke}.")
    if done.left_count:
        names = "; ".join(f"{path}: {why}" for path, why in done.left[:_SHOWN])
        more = "; …" if done.left_count > _SHOWN else ""
        sentences.append(f"{_written(done.left_count)} could not be put back ({names}{more}).")
    return _Ending(
        " ".join(sentences),
        f"{journal.path} has all of their names. {_LATER}",
        left=True,
        paths=tuple(path for path, _ in done.left),
    )


def _written(number: int, one: str = "", more: str = "") -> str:
    """So many secrets, and a word that agrees with the number."""
    return f"{count(number, 'secret')} that it wrote {one_or_more(number, one, more)}".rstrip()


def _refused_commit(error: BaseException) -> bool:
    """Whether an error during COMMIT says that PostgreSQL rolled back."""
    return isinstance(error, DatabaseError) and not isinstance(error, CommitUncertain)


def _undo_of(job: Job, client: VaultClient, journal: Journal) -> VaultUndo:
    """The undo of a journal, with progress."""
    from ..stages.vault.undo import VaultUndo

    told = perf_counter()

    def step() -> None:
        nonlocal told
        if (now := perf_counter()) - told > _INTERVAL:
            told = now
            job.tell(secrets=undo.report.total)

    job.begin("undo", secrets_total=journal.writes)
    undo = VaultUndo(client, journal, workers=client.settings.workers, step=step)
    return undo


def _report(job: Job, journal: Journal, done: VaultUndoReport, *, committed: bool = False) -> UndoReport:
    return UndoReport(
        archive=journal.header.archive,
        started=journal.header.started,
        committed=committed,
        put_back=done.put_back,
        removed=done.removed,
        unchanged=done.unchanged,
        left_count=done.left_count,
        left=tuple(done.left),
        journal=str(journal.path) if done.left_count else "",
        seconds=job.finish(),
    )


async def _committed(journal: Journal, commit: Commit, database: PostgresSettings | None) -> bool:
    """What PostgreSQL says of a COMMIT under which the restore ended. Raises ``UnfinishedRestore`` when nothing."""
    ask = f"SELECT txid_status({commit.transaction}) on the {commit.database} answers committed or aborted."
    why = "no database is configured to be asked"
    if database is not None:
        from ..stages.pg.outcome import transaction_status
        from ..stages.pg.questions import answered

        if database.where() != commit.database:
            raise ConfigurationError(
                f"The unfinished restore went to another database: {commit.database}, not {database.where()}.",
                hint="Configure that one, or leave everything as it is by `kleidia-backup restore --dismiss`.",
            )
        status = await answered(transaction_status, database, commit.transaction, limit=database.query_timeout)
        if status in {"committed", "aborted"}:
            return status == "committed"
        why = f"PostgreSQL says: {status}"
    header = journal.header
    raise UnfinishedRestore(
        f"The restore of {header.archive}, begun at {header.started}, ended during COMMIT, and {why}.",
        hint=f"{ask} If it was committed: `kleidia-backup restore --dismiss`.",
        archive=header.archive,
        started=header.started,
        count=journal.writes,
    )
