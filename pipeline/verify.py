"""Verification: the whole archive is read and checked, and nothing is written anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..formats.errors import DamagedArchive, WrongPassword
from ..formats.peek import PEEK, opens
from ..stages.archive_source import read_range
from ..stages.drain import drain
from ..stages.fingerprint import Fingerprint
from ..stages.pg.survey import SqlSurvey
from .engine import Pipeline, in_thread
from .job import JOB_TIMEOUT, Job, check_password, open_store, within
from .opening import OpenArchive, explain, open_archive
from .report import VerifyReport
from .waiting import STORE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..formats.secret import Secret
    from ..stages.stores.base import ObjectStore
    from ..stages.stores.directory import DirectorySettings
    from ..stages.stores.s3 import S3Settings
    from .engine import Inlet, Snapshot
    from .job import Logger
    from .report import OnProgress


async def verify(
    name: str,
    *,
    store: S3Settings | DirectorySettings | ObjectStore,
    password: str,
    on_progress: OnProgress = None,
    log: Logger | None = None,
    timeout: float = JOB_TIMEOUT,  # noqa: ASYNC109 - a limit for the job, with an error of its own
) -> VerifyReport:
    """Read an archive to its last byte and check everything a restore relies on.

    Raises ``WrongPassword``, ``DamagedArchive`` and the rest of the tree in ``kleidia_backup.stages.errors``.
    """
    check_password(password)
    job = Job(on_progress, log)

    async def work() -> VerifyReport:
        job.asks = STORE
        async with open_store(store) as target:
            archive = await open_archive(target, name, password)
            verified = await verify_pass(job, archive)
            return VerifyReport(
                name=archive.info.name,
                size=archive.info.size,
                header=archive.header,
                sql_bytes=verified.sql_bytes,
                secrets=verified.secrets,
                tables=verified.tables,
                rows=verified.rows,
                seconds=job.finish(),
                stages=verified.snapshot.stages,
            )

    return await within(timeout, work, job)


async def verify_password(
    name: str, *, store: S3Settings | DirectorySettings | ObjectStore, password: str
) -> VerifyReport:
    """Say in about a second, whatever the size, whether a password opens an archive; its end is not looked at.

    The report's counts are zero: the full verification is still to come. Raises ``WrongPassword`` (also for an
    archive damaged in its first bytes) and the rest of the tree in ``kleidia_backup.stages.errors``.
    """
    check_password(password)
    job = Job(None, None)
    async with open_store(store) as target:
        archive = await open_archive(target, name, password)
        head = await read_range(target, archive.info, archive.preamble.size, PEEK)
    if not await in_thread(opens, archive.key, archive.preamble.nonce, head):
        raise WrongPassword(
            "The password does not open this archive, or its first bytes are damaged.",
            hint="Passwords are case-sensitive. A full verification tells damage from a wrong password.",
        )
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


async def verify_pass(
    job: Job, archive: OpenArchive, secrets: Callable[[Inlet[Secret]], Awaitable[None]] = drain
) -> Verified:
    """The first of a restore's two readings. ``secrets`` may look at each secret, and refuse.

    Raises ``WrongPassword`` and ``DamagedArchive``.
    """
    survey, marks = SqlSurvey(), Fingerprint()
    split = archive.split(marks=marks, look=survey.feed)
    pipeline = Pipeline()
    sql_edge, secret_edge = archive.wire(pipeline, split)
    pipeline.sink(survey.end, sql_edge, name="SQL")
    pipeline.sink(secrets, secret_edge, name="secrets")
    job.begin("verify", archive_total=archive.ciphertext_size)
    try:
        snapshot = await job.run(pipeline, **COUNTERS)
    except DamagedArchive as exc:
        raise await explain(job, archive, exc) from None
    verified = Verified(survey, snapshot, split.sql_first, marks)
    for part, included, found in (
        ("SQL", archive.header.includes_db, verified.sql_bytes),
        ("secrets", archive.header.includes_kv, verified.secrets),
    ):
        if found and not included:
            raise DamagedArchive("payload", f"The archive holds {part}, which its header denies.")
    return verified


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verified archive holds: the SQL's survey, the counters, whether the SQL came first.

    By ``marks`` another reading is known to be the same.
    """

    survey: SqlSurvey
    snapshot: Snapshot
    sql_first: bool
    marks: Fingerprint

    @property
    def sql_bytes(self) -> int:
        """Bytes of SQL."""
        return self.snapshot.edge("open").bytes

    @property
    def secrets(self) -> int:
        """How many secrets."""
        return self.snapshot.edge("open.2").items

    @property
    def tables(self) -> int:
        """How many tables the SQL creates."""
        return len(self.survey.facts.tables)

    @property
    def rows(self) -> int:
        """How many rows it holds."""
        return sum(self.survey.facts.rows.values())


#: How progress is read off the engine's counters while an archive is read.
COUNTERS: dict[str, Callable[[Snapshot], int]] = {
    "archive_bytes": lambda s: s.edge("download").bytes,
    "sql_bytes": lambda s: s.edge("open").bytes,
    "secrets": lambda s: s.edge("open.2").items,
}
