"""Child processes: wide pipes, bounded stderr, and an end that leaves nothing behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from ...pipeline.engine import MAX_CHUNK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.abc import ByteReceiveStream, Process, TaskGroup

#: Bytes kept of the beginning and of the end of a child's stderr.
KEPT = 4096

#: Seconds a child has to end after a polite signal, and after SIGKILL.
POLITE = 2.0
DEADLINE = 10.0


class Tail:
    """What a child says on stderr: the first and the last 4 KiB, however much there is."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = False

    def feed(self, data: bytes) -> None:
        """Keep what matters of ``data``."""
        room = KEPT - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > KEPT:
            self._dropped = True
            del self._tail[:-KEPT]

    @property
    def text(self) -> str:
        """What was kept, with a mark where something was left out."""
        gap = b"\n[...]\n" if self._dropped else b""
        return bytes(self._head + gap + self._tail).decode(errors="replace")

    async def drain(self, stream: ByteReceiveStream | None) -> None:
        """Read a stream to its end."""
        assert stream is not None
        with contextlib.suppress(anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            while True:
                self.feed(await stream.receive())


def wide_pipe() -> tuple[int, int]:
    """A pipe of up to 1 MiB, (read end, write end), where the system allows; both are closed on exec."""
    ends = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):  # the user's share of pipe memory may be used up
            fcntl.fcntl(ends[0], fcntl.F_SETPIPE_SZ, MAX_CHUNK)
    return ends


async def start(argv: list[str], *, environment: dict[str, str], stdin: int, stdout: int, stderr: int) -> Process:
    """Start a child in a session of its own: Ctrl-C on the terminal reaches us only, and we end it our way."""
    return await anyio.open_process(
        argv, env=environment, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
    )


async def end(process: Process, *, polite: bool = False) -> None:
    """End a child that may still run, and reap it; shielded from cancellation, with a deadline.

    A polite end begins with SIGTERM, upon which pg_dump also cancels its query on the server.
    """
    with anyio.CancelScope(shield=True, deadline=anyio.current_time() + DEADLINE):
        if polite and process.returncode is None:
            _signal(process, signal.SIGTERM)
            with anyio.move_on_after(POLITE):
                await process.wait()
        if process.returncode is None:
            _signal(process, signal.SIGKILL)
        await process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                await stream.aclose()


def _signal(process: Process, number: signal.Signals) -> None:
    """Signal the child's whole session, in case it has children of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """A task group out of which a single error comes as itself, not as a group of one."""
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from error.__cause__
