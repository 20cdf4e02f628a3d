"""Runs one job that meets a fault, and says whether what came of it is one of the two things that may."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeAlias

from kleidia_backup import KleidiaError, PostgresSettings, S3Settings, VaultSettings, restore
from kleidia_backup.pipeline.undo import undo_restore
from kleidia_backup.stages.stores.s3.store import S3Store
from kleidia_backup.stages.vault.undo.journal import unfinished

from ..archive_format import backup
from .site import PART, PASSWORD, PREFIX, SECRETS, Site

Job: TypeAlias = Literal["backup", "restore"]


@dataclass
class Outcome:
    """What came of a job: ``error`` None says that it succeeded, ``failed`` names secrets that were not written.

    ``left`` says what a failed job could not clear away.
    """

    error: KleidiaError | None = None
    failed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    left: str = ""

    def __str__(self) -> str:
        left = f" [left: {self.left}]" if self.left else ""
        if self.error is None:
            return "succeeded" + (f", with warnings: {' '.join(self.warnings)}" if self.warnings else "") + left
        return f"{type(self.error).__name__}: {self.error.message}{left}"


@dataclass(frozen=True)
class Settings:
    """How to reach the three servers."""

    database: PostgresSettings | None
    vault: VaultSettings
    store: S3Settings


async def run(job: Job, site: Site, settings: Settings, **more: Any) -> tuple[str, Outcome]:
    """Run a job; the name of its archive, and what came of it."""
    name = site.archive if job == "restore" else f"backup-{secrets.token_hex(4)}.enc"
    where = {"database": settings.database, "vault": settings.vault, "store": settings.store, "password": PASSWORD}
    try:
        if job == "backup":
            made = await backup(name=name, part_size=PART, **where, **more)
            return name, Outcome(warnings=made.warnings)
        brought = await restore(name, state=site.journal, **where, **more)  # type: ignore[arg-type]
        return name, Outcome(failed=brought.failed, warnings=brought.warnings)
    except KleidiaError as exc:
        return name, Outcome(exc)


def blames(error: KleidiaError, *trees: type[KleidiaError]) -> None:
    """The error names the server at fault and the next step, and no secret."""
    assert isinstance(error, trees), repr(error)
    assert error.message
    assert error.hint
    shown = f"{error} {error.hint} {error!r} {error.__cause__!r}"
    assert "canary" not in shown


async def judge(
    job: Job, site: Site, settings: Settings, name: str, outcome: Outcome, *, store_is_dead: bool = False
) -> None:
    """What came of the job is one of the two things that may; the site is as it was before the job.

    The servers answer again, under the addresses of ``settings``; with ``store_is_dead``, the store did not any more.
    """
    try:
        site.database.nobody_holds_it()
        if job == "backup":
            content = site.content if settings.database else ([""], site.content[1])
            await _judge_backup(site, name, outcome, content, store_is_dead=store_is_dead)
        else:
            await _judge_restore(site, settings, outcome)
    except (AssertionError, KleidiaError):
        site.mend()
        raise


async def _judge_backup(
    site: Site, name: str, outcome: Outcome, content: tuple[list[str], Any], *, store_is_dead: bool
) -> None:
    """An archive that is all there, or nothing; the system is as it was either way."""
    assert site.state() == site.wrecked
    mine = PREFIX + name
    keys, uploads = set(site.keys()) - set(site.archives), site.uploads()
    if outcome.error is not None and store_is_dead:
        await _judge_what_a_dead_store_keeps(site, outcome, keys, uploads, mine)
    elif outcome.error is not None:
        assert (keys, uploads) == (set(), [])
    else:
        assert (keys, uploads) == ({mine}, [])
    for key in keys:
        assert site.read(key.removeprefix(PREFIX)) == content
        site.remove(key.removeprefix(PREFIX))


async def _judge_what_a_dead_store_keeps(
    site: Site, outcome: Outcome, keys: set[str], uploads: list[str], mine: str
) -> None:
    """A store that never answers again cannot be told to forget an upload, nor an object that it completed.

    The upload goes with the next backup (after a day; here at once); the object is a whole archive.
    """
    assert keys <= {mine}
    assert set(uploads) <= {mine}
    outcome.left = "a whole archive" if keys else "an unfinished upload" if uploads else ""
    async with S3Store(site.store_settings()) as store:
        assert await store.abort_stale(timedelta(0)) == len(uploads)
    assert site.uploads() == []


async def _judge_restore(site: Site, settings: Settings, outcome: Outcome) -> None:
    """Everything is as in the archive (but for secrets that are named, fewer than half), or as before.

    Where the vault never answered again, or nobody knows whether PostgreSQL committed, the undo does the rest.
    """
    if unfinished(site.journal):
        assert outcome.error is not None
        undone = await undo_restore(vault=settings.vault, database=settings.database, state=site.journal)
        assert undone.left_count == 0
        outcome.left = "committed, as the undo found" if undone.committed else "secrets, which the undo put back"
    assert not unfinished(site.journal)
    database, secrets = site.state()
    if outcome.error is None or outcome.left.startswith("committed"):
        assert database == (site.original[0] if settings.database else site.wrecked[0])
        assert _are_the_archives(site, secrets, outcome.failed)
        if settings.database:
            site.wreck_database()
        site.wreck_vault()
    else:
        assert database == site.wrecked[0]
        assert secrets == site.wrecked[1]


def _are_the_archives(site: Site, secrets: dict[str, Any], failed: tuple[str, ...]) -> bool:
    """Whether the secrets are the archive's; those that failed may be as before, unless only the answer was lost."""
    assert len(failed) * 2 < SECRETS
    named = {site.locate(path) for path in failed}

    def right(mount: str, path: str) -> bool:
        now, before = secrets[mount].get(path), site.wrecked[1][mount].get(path)
        return bool(now == site.original[1][mount].get(path) or ((mount, path) in named and now == before))

    return all(right(mount, path) for mount in secrets for path in {*secrets[mount], *site.original[1][mount]})
