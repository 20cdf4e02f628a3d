"""Verification: the whole archive is read and checked, and nothing is written anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..formats.errors import DamagedArchive
from ..stages.drain import drain
from ..stages.pg.survey import SqlSurvey
from .engine import Pipeline
from .job import JOB_TIMEOUT, Job, check_password, open_store, time_limit
from .opening import OpenArchive, explain, open_archive
from .report import VerifyReport

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
    async with time_limit(timeout), open_store(store) as target:
        archive = await open_archive(target, name, password)
        survey, snapshot = await verify_pass(job, archive)
        report = VerifyReport(
            name=archive.info.name,
            size=archive.info.size,
            header=archive.header,
            sql_bytes=snapshot.edge("split").bytes,
            secrets=snapshot.edge("split.2").items,
            tables=len(survey.facts.tables),
            rows=sum(survey.facts.rows.values()),
            seconds=job.finish(),
            stages=snapshot.stages,
        )
    return report


async def verify_pass(
    job: Job, archive: OpenArchive, secrets: Callable[[Inlet[Secret]], Awaitable[None]] = drain
) -> tuple[SqlSurvey, Snapshot]:
    """The first of a restore's two readings. ``secrets`` may look at each secret, and refuse.

    Returns what the SQL holds, and the counters. Raises ``WrongPassword`` and ``DamagedArchive``.
    """
    survey = SqlSurvey()
    pipeline = Pipeline()
    sql_edge, secret_edge = archive.wire(pipeline)
    pipeline.sink(survey, sql_edge, name="survey")
    pipeline.sink(secrets, secret_edge, name="secrets")
    job.begin("verify", archive_total=archive.ciphertext_size)
    try:
        snapshot = await job.run(pipeline, **COUNTERS)
    except DamagedArchive as exc:
        raise await explain(job, archive, exc) from None
    return survey, snapshot


#: How progress is read off the engine's counters while an archive is read.
COUNTERS: dict[str, Callable[[Snapshot], int]] = {
    "archive_bytes": lambda s: s.edge("sha256").bytes,
    "sql_bytes": lambda s: s.edge("split").bytes,
    "secrets": lambda s: s.edge("split.2").items,
}
