"""Verification: the whole archive is read and checked, and nothing is written anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .archives.opening import opened_archive
from .job import JOB_TIMEOUT, Job, Logger, within
from .parts.keys import NO_KEYS, Keys, check_reading
from .reports.jobs import OnProgress, VerifyReport

if TYPE_CHECKING:
    from ..stages.stores.base import StoreSettings


async def verify(
    name: str,
    *,
    store: StoreSettings,
    password: str | None = None,
    keys: Keys = NO_KEYS,
    on_progress: OnProgress = None,
    log: Logger | None = None,
    timeout: float = JOB_TIMEOUT,  # noqa: ASYNC109 - a limit for the job, with an error of its own
) -> VerifyReport:
    """Read an archive to its last byte and check everything a restore relies on.

    Who signed it is reported, and not refused as a restore does.

    Raises ``WrongPassword``, ``DamagedArchive`` and the rest of the tree in ``kleidia_backup.stages.errors``.
    """
    check_reading(password, keys)
    job = Job(on_progress, log)

    async def work() -> VerifyReport:
        async with opened_archive(job, store, name, password, keys) as archive:
            signer = archive.signer
            verified = await archive.verify(job)
            return VerifyReport(
                name=archive.info.name,
                size=archive.info.size,
                header=archive.header,
                sql_bytes=verified.sql_bytes,
                secrets=verified.secrets,
                tables=verified.tables,
                rows=verified.rows,
                signer="" if signer is None else signer.text,
                trusted=signer is not None and keys.trusts(signer.raw),
                seconds=job.finish(),
                load=job.meter.load(),
                stages=verified.stages,
            )

    return await within(timeout, work, job)


async def verify_password(
    name: str, *, store: StoreSettings, password: str | None = None, keys: Keys = NO_KEYS
) -> VerifyReport:
    """Say in about a second, whatever the size, whether a password or a key opens an archive; its end is not looked at.

    The report's counts are zero: the full verification is still to come. Raises ``WrongPassword`` (also for an
    archive damaged in its first bytes) and the rest of the tree in ``kleidia_backup.stages.errors``.
    """
    check_reading(password, keys)
    job = Job(None, None)
    async with opened_archive(job, store, name, password, keys) as archive:
        await archive.check_password()
    return VerifyReport(
        name=archive.info.name,
        size=archive.info.size,
        header=archive.header,
        sql_bytes=0,
        secrets=0,
        tables=0,
        rows=0,
        seconds=job.finish(),
    )
