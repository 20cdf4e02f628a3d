"""A process that runs jobs in forks of its own, each of which can be killed without paying for the imports again."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import anyio

from .judging import Job

#: Reads a job and its arguments, says which process runs it, and how that ended.
SCRIPT = """
import os, pickle, sys, anyio
from kleidia_backup import PostgresSettings, S3Settings, VaultSettings, backup, restore
import kleidia_backup.stages.stores.directory.store, kleidia_backup.stages.stores.s3.store
from kleidia_backup.stages.pg import dump, session
from kleidia_backup.stages.pg.server import lock, preflight
from kleidia_backup.stages.vault import sink, source
from kleidia_backup.stages.vault.kv import check, client
from kleidia_backup.stages.vault.undo import journal, undo
import kleidia_backup.pipeline.backup
kleidia_backup.stages.stores.s3.settings.SMALLEST_PART = 1
jobs = {"backup": backup, "restore": restore}
while True:
    try:
        job, arguments, options = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    pid = os.fork()
    if not pid:
        try:
            anyio.run(lambda: jobs[job](*arguments, **options))
            os._exit(0)
        except BaseException as exc:
            sys.stderr.write(f"{exc!r}\\n")
        finally:
            os._exit(1)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@dataclass
class Killable:
    """The process; runs one job at a time. Belongs to no event loop."""

    _process: subprocess.Popen[bytes]

    @asynccontextmanager
    async def run(
        self, job: Job, archive: str, options: dict[str, Any]
    ) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Begin a job; gives what waits for its end. On leaving it is killed by SIGKILL, if it still runs."""
        assert self._process.stdin is not None
        self._process.stdin.write(pickle.dumps((job, (archive,) * (job == "restore"), options)))
        pid = await self._number()
        status: list[int] = []

        async def ended() -> None:
            status.append(await self._number())

        try:
            yield ended
        finally:
            with anyio.CancelScope(shield=True):
                if not status:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                    await ended()
        assert status[0] in {0, -signal.SIGKILL}, "the job ended with an error, which it told on stderr"

    async def _number(self) -> int:
        assert self._process.stdout is not None
        await anyio.wait_readable(self._process.stdout)
        return int(self._process.stdout.readline())


@contextmanager
def killable_process() -> Iterator[Killable]:
    """A process that waits for jobs."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        yield Killable(process)
