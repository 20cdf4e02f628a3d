"""A replica of the service as a process that always has a job: settings come pickled by stdin, SIGTERM stops it."""

from __future__ import annotations

import asyncio
import pickle
import signal
import sys

import structlog

from kleidia_backup import KleidiaError
from kleidia_backup.service.control.jobs import NewJob
from kleidia_backup.service.service import Service

#: Seconds between two attempts to start a job.
PAUSE = 2.0


async def ask(service: Service) -> None:
    """Ask for one backup after another, whatever the servers do."""
    job = NewJob(
        kind="backup",
        backup_type="full",
        requested_by="soak",
        requested_by_name="soak",
        ip="192.0.2.7",
        workstation="soak",
    )
    while True:
        try:
            await service.submit(job)
        except KleidiaError as exc:  # busy, or a server is away
            structlog.get_logger("soak").info("refused", error=exc.message)
        await asyncio.sleep(PAUSE)


async def main() -> None:
    """Say so when it runs, and run until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with Service(pickle.load(sys.stdin.buffer)) as service:
        asking = asyncio.create_task(ask(service))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await stop.wait()
        asking.cancel()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main())
