"""Child processes: wide pipes, bounded stderr, and an end that leaves nothing behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from ....pipeline.engine import MAX_CHUNK

if TYPE_CHECKING:
    from anyio.abc import Process

#: Bytes kept of the beginning and of the end of a child's stderr.
KEPT = 4096

#: Bytes of one read of stderr, or of another short stream.
_SMALL = 64 * 1024

#: Seconds a child has to end after a polite signal, and after SIGKILL.
POLITE = 2.0
DEADLINE = 10.0


class Tail:
    """A child's stderr: its first and last 4 KiB."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = False

    def feed(self, data: bytes) -> None:
        """Add ``data``."""
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

    async def drain(self, reader: Reader) -> None:
        """Read to the end."""
        while data := await reader.read():
            self.feed(data)


class Reader:
    """The reading end of a pipe, without a thread that waits in a read: cancelling a ``read`` is immediate."""

    def __init__(self, end: int) -> None:
        os.set_blocking(end, False)
        self.end = end

    async def read(self) -> bytes:
        """Some bytes; empty at the end."""
        while True:
            await anyio.wait_readable(self.end)
            with contextlib.suppress(BlockingIOError):
                return os.read(self.end, _SMALL)

    def close(self) -> None:
        """Close it; may be called twice."""
        if self.end >= 0:
            os.close(self.end)
            self.end = -1


@dataclass
class Child:
    """A running program, its stderr, and its stdout unless that goes elsewhere."""

    process: Process
    stdout: Reader
    stderr: Reader

    async def wait(self) -> int:
        """Its exit status, when it has ended; negative for a signal."""
        return await self.process.wait()

    async def end(self, *, polite: bool = False) -> None:
        """End it if it still runs, and reap it; shielded from cancellation, with a deadline.

        A polite end begins with SIGTERM, upon which pg_dump also cancels its query on the server.
        """
        with anyio.CancelScope(shield=True, deadline=anyio.current_time() + DEADLINE):
            if polite and self.process.returncode is None:
                _signal(self.process, signal.SIGTERM)
                with anyio.move_on_after(POLITE):
                    await self.process.wait()
            if self.process.returncode is None:
                _signal(self.process, signal.SIGKILL)
            await self.process.wait()
        self.stdout.close()
        self.stderr.close()


def wide_pipe() -> tuple[int, int]:
    """A pipe of up to 1 MiB, (read end, write end), where the system allows; both are closed on exec."""
    ends = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):  # the user's share of pipe memory may be used up
            fcntl.fcntl(ends[0], fcntl.F_SETPIPE_SZ, MAX_CHUNK)
    return ends


async def start(argv: list[str], *, environment: dict[str, str], stdin: int, nice: int = 0) -> Child:
    """Start a child in a session of its own: Ctrl-C on the terminal reaches us only, and we end it our way.

    Its stdout is a wide pipe. ``nice`` lowers its priority, 19 at most, from its beginning or shortly after.
    The caller must ``end`` it.
    """
    output, stdout = wide_pipe()
    errors, stderr = os.pipe()
    try:
        # A cancellation in the middle of it would leave a child without an owner.
        with anyio.CancelScope(shield=True):
            process = await anyio.open_process(
                argv, env=environment, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
            )
    except BaseException:
        os.close(output)
        os.close(errors)
        raise
    finally:
        os.close(stdout)
        os.close(stderr)
    if nice:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it ended already; it is lower already
            os.setpriority(os.PRIO_PROCESS, process.pid, min(19, os.getpriority(os.PRIO_PROCESS, 0) + nice))
    return Child(process, Reader(output), Reader(errors))


def _signal(process: Process, number: signal.Signals) -> None:
    """Signal the child's whole session, in case it has children of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
