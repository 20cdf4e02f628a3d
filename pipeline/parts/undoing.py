"""What a restore that failed does with the secrets that it had written: it puts back what was there before.

The order: the transaction in PostgreSQL has ended before the first secret is put back, because a restore opens it
last and so leaves it first. Without a COMMIT nothing can commit it any more, and after a COMMIT that failed the server
said so. The lock on the database is still held then, so that no other restore begins in between.

Where the process died, or only PostgreSQL knows whether the COMMIT took place, the journal stays. No other restore
begins before ``undo_restore`` or ``dismiss_restore`` ended it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import anyio

from ...stages.errors import CommitUncertain, DatabaseError, Effect, KleidiaError, Remedy, UnfinishedRestore
from ...stages.vault.kv.client import VaultClient
from ...stages.vault.kv.identity import cluster_of
from ...stages.vault.undo.journal import Journal
from ...stages.vault.undo.undo import VaultUndo, VaultUndoReport
from ...stages.words import count, one_or_more
from ..engine import in_thread

if TYPE_CHECKING:
    from ...stages.vault.kv.settings import VaultSettings
    from ..job import Job

#: Seconds in which a failed or cancelled restore puts secrets back; what is not done then stays in the journal.
UNDO_TIMEOUT = 30 * 60.0
#: Seconds between two reports of progress.
_INTERVAL = 0.2
#: Secrets that a message names.
_SHOWN = 10

_LATER = "`kleidia-backup restore --undo` tries again; `kleidia-backup restore --dismiss` leaves them as they are."


@asynccontextmanager
async def undone_on_failure(
    job: Job, client: VaultClient, archive: str, state: Path | None, rolled_back: Callable[[], bool]
) -> AsyncIterator[Journal]:
    """A journal for a restore's vault sink; unless it was removed, leaving puts back what the sink wrote.

    The error that ends the restore says so, and names what could not be put back. A cancellation says nothing, and
    becomes ``UnfinishedRestore`` when something could not. ``rolled_back`` says whether PostgreSQL told that it rolled
    back. Entering raises ``Busy``, ``UnfinishedRestore``, and ``ConfigurationError`` for an unusable state directory.
    """
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


async def put_back(job: Job, settings: VaultSettings, journal: Journal) -> VaultUndoReport:
    """Put back what a journal of an earlier restore says. Raises ``ConfigurationError`` when its vault was another."""
    async with VaultClient(replace(settings, adaptive=False)) as client:
        journal.check(settings, await cluster_of(client))
        undo = _undo_of(job, client, journal)
        await undo()
    return undo.report


@dataclass
class _Ending:
    """How it ended: a sentence and a hint to add to the restore's error. With ``remedies``, not all is put back."""

    text: str
    hint: str = ""
    effect: Effect | None = "put back"
    remedies: tuple[Remedy, ...] = ()
    paths: tuple[str, ...] = ()

    def onto(self, error: BaseException) -> BaseException:
        """The error to raise."""
        if isinstance(error, KleidiaError):
            error.message = f"{error.message} {self.text}".rstrip()
            error.hint = f"{self.hint} {error.hint}".strip()
            if self.effect and error.effect != "unknown":
                error.effect = self.effect
            error.remedies = self.remedies
            error.args = (error.message,)
            return error
        if not self.remedies:
            return error
        return UnfinishedRestore(
            f"The restore was stopped. {self.text}",
            hint=self.hint,
            effect=self.effect,
            remedies=self.remedies,
            paths=self.paths,
        )


async def _end(job: Job, client: VaultClient, journal: Journal, *, known: bool) -> _Ending:
    """Put everything back, unless PostgreSQL may have committed; whatever happens, it is told and not raised."""
    if journal.commit and not known:
        return _Ending(
            f"Up to {_written(journal.writes, 'is', 'are')} in the vault.",
            "When PostgreSQL answers, `kleidia-backup restore --undo` asks it whether the restore took place, and puts "
            "back what was there before if it did not.",
            effect="unknown",
            remedies=("undo",),
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
    if broke or done.left.count:
        return _incomplete(journal, done, broke)
    journal.remove()
    back = done.put_back + done.removed
    if not back:
        return _Ending("", effect=None)
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
    if done.left.count:
        names = "; ".join(f"{path}: {why}" for path, why in done.left.names[:_SHOWN])
        more = "; …" if done.left.count > _SHOWN else ""
        sentences.append(f"{_written(done.left.count)} could not be put back ({names}{more}).")
    return _Ending(
        " ".join(sentences),
        f"{journal.path} has all of their names. {_LATER}",
        effect="secrets",
        remedies=("undo", "dismiss"),
        paths=tuple(path for path, _ in done.left.names),
    )


def _written(number: int, one: str = "", more: str = "") -> str:
    """So many secrets, and a word that agrees with the number."""
    return f"{count(number, 'secret')} that it wrote {one_or_more(number, one, more)}".rstrip()


def _refused_commit(error: BaseException) -> bool:
    """Whether an error during COMMIT says that PostgreSQL rolled back."""
    return isinstance(error, DatabaseError) and not isinstance(error, CommitUncertain)


def _undo_of(job: Job, client: VaultClient, journal: Journal) -> VaultUndo:
    """The undo of a journal, with progress."""
    told = perf_counter()

    def step() -> None:
        nonlocal told
        if (now := perf_counter()) - told > _INTERVAL:
            told = now
            job.tell(secrets=undo.report.total)

    job.begin("undo", secrets_total=journal.writes)
    undo = VaultUndo(client, journal, workers=client.settings.workers, step=step)
    return undo
