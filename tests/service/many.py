"""A replica with many targets as a process of its own: what to do comes pickled by stdin, SIGTERM stops it.

Its jobs only sleep and write a row: who ran which, and when.
"""

from __future__ import annotations

import asyncio
import pickle
import signal
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import structlog

from kleidia_backup import PostgresSettings, Root, TokenAuth, VaultSettings
from kleidia_backup.config.service import Intervals, ServiceSettings
from kleidia_backup.config.targets.services import TargetServices
from kleidia_backup.config.targets.settings import ReplicaSettings
from kleidia_backup.pipeline.reports.jobs import BackupReport
from kleidia_backup.service.targets.several import SeveralTargets
from kleidia_backup.service.work.runner import Outcome, Runner
from kleidia_backup.service.work.running import RunningJob
from kleidia_backup.stages.stores.directory.store import DirectorySettings

#: Where jobs say that they ran.
RAN = """
CREATE TABLE public.ran (
    job bigint, target text, replica text, began timestamptz DEFAULT clock_timestamp(), ended timestamptz
)
"""


@dataclass(frozen=True)
class Many:
    """What a replica of the test serves: so many targets on so many stores, whose jobs take ``seconds``."""

    control: str
    number: int
    seconds: float
    stores: int = 1
    replica: ReplicaSettings = field(default_factory=lambda: ReplicaSettings(max_jobs=5))
    intervals: Intervals = field(
        default_factory=lambda: Intervals(beat=1, poll=1, reap=0.5, dead=4, tick=0.5, margin=60)
    )

    @property
    def names(self) -> list[str]:
        """The targets."""
        return [f"t{number:06}" for number in range(self.number)]

    def read(self) -> TargetServices:
        """The configuration. The vault is none: what begins with it is left out."""
        control = PostgresSettings(self.control)
        vault = VaultSettings(address="http://127.0.0.1:1", auth=TokenAuth("none"), roots=(Root("", "secret"),))
        shared: dict[str, Any] = {"control": control, "vault": vault, "intervals": self.intervals, "grace": 1.0}
        settings = {
            name: ServiceSettings(
                **shared,
                target=name,
                secrets_mount="secret",
                secrets_path=f"of/{name}",
                store=DirectorySettings(Path(f"/nonexistent/store-{number % self.stores}"), f"{name}/"),
            )
            for number, name in enumerate(self.names)
        }
        return TargetServices(self.names[0], settings, control, replica=self.replica)

    def targets(self) -> SeveralTargets:
        """The targets; what begins with the vault is left out."""
        made = SeveralTargets(self.read)
        made.begin = _nothing  # type: ignore[method-assign]  # there is no vault
        return made


async def _nothing() -> None:
    pass


def sleeping(seconds: float) -> Any:
    """What a job does instead of a backup."""

    async def watched(runner: Runner, running: RunningJob, log: object) -> Outcome:
        job = running.job
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(running.watch, runner._jobs, runner._config.intervals)
            async with runner._control.connection() as connection:
                await connection.execute(
                    "INSERT INTO public.ran (job, target, replica) VALUES (%s, %s, %s)",
                    (job.id, job.target, running.replica),
                )
            await anyio.sleep(seconds)
            async with runner._control.connection() as connection:
                await connection.execute("UPDATE public.ran SET ended = clock_timestamp() WHERE job = %s", (job.id,))
            tasks.cancel_scope.cancel()
        report = BackupReport(
            name=f"{job.target}/archive",
            backup_type="full",
            created_at=datetime.now(UTC),
            size=1,
            checksum="",
            sql_bytes=0,
            secrets=0,
            seconds={"total": seconds},
        )
        return Outcome(report=report)

    return watched


async def main() -> None:
    """Say so when it runs, and run until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    many = Many(**pickle.load(sys.stdin.buffer))
    Runner._watched = sleeping(many.seconds)  # type: ignore[method-assign]  # what a job does
    async with many.targets() as targets:
        sys.stdout.write(f"{targets._shared.replica}\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main())
