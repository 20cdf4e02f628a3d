"""A replica of the service as a process of its own: settings come pickled by stdin, SIGTERM stops it."""

from __future__ import annotations

import asyncio
import pickle
import signal
import sys

import structlog

from kleidia_backup.service.service import Service


async def main() -> None:
    """Say so when it runs, and run until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with Service(pickle.load(sys.stdin.buffer)):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main())
