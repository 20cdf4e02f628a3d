"""One run of pg_dump: its options, what it writes, and how it ended."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

import anyio

from ....pipeline.engine import MAX_CHUNK, in_thread, task_group
from ...load.meter import transaction
from ..server import process
from ..server.connect import is_connection_failure, login_error
from ..server.dump_errors import dump_error

if TYPE_CHECKING:
    from ...errors import DatabaseError
    from ...load.rate import TokenBucket
    from ..server.settings import PostgresSettings
    from ..server.tools import Tool

T = TypeVar("T")

#: Bytes worth handing on: smaller reads are gathered, or a fast pg_dump would wake us for every 4 KiB it writes.
GATHER = 768 * 1024

#: Reads in one thread call, at most, while nothing is made of them.
READS = 3

#: Seconds of a pause in which pg_dump fills the pipe, and the most pauses for one chunk.
PAUSE = 0.001
PAUSES = 50


@dataclass(frozen=True, slots=True)
class DumpRun:
    """pg_dump of one database, as plain text in UTF-8. ``lock_milliseconds`` is how long it waits for a lock (0: ever).

    ``standby`` says that the server is one. ``rate`` counts the bytes of all runs of one backup, which are read no
    faster.
    """

    settings: PostgresSettings
    tool: Tool
    options: tuple[str, ...]
    lock_milliseconds: int
    standby: bool = False
    rate: TokenBucket | None = None

    @property
    def command(self) -> list[str]:
        """Its arguments; none is a secret."""
        return [
            self.tool.path,
            "--format=plain",
            "--encoding=UTF8",
            "--no-password",
            *([f"--lock-wait-timeout={self.lock_milliseconds}"] if self.lock_milliseconds else ()),
            *self.options,
            f"--dbname={self.settings.public_conninfo()}",
        ]

    async def run(self, take: Callable[[bytes], Iterable[T]], send: Callable[[T], Awaitable[None]]) -> str:
        """Run it to its end; gives the end of its stderr.

        ``take`` is called for each chunk in the thread that read it, ``send`` for each of what it gives. When it fails
        or is cancelled, it is killed and reaped. Raises ``DumpFailed`` when pg_dump fails, ``DatabaseUnreachable`` or
        ``DatabaseForbidden`` when it cannot connect, and what ``take`` and ``send`` raise.
        """
        child = await process.start(
            self.command,
            environment=self.settings.environment(),
            stdin=subprocess.DEVNULL,
            nice=self.settings.nice,
        )
        said = process.Tail()
        try:
            async with task_group() as tasks:
                tasks.start_soon(said.drain, child.stderr)
                with transaction("shared"):  # it begins right away, and ends with it
                    await _copy(child.stdout.end, take, send, self.rate)
                    status = await child.wait()
                # A process that inherited its stderr may hold it open; its own output has arrived already.
                tasks.cancel_scope.deadline = anyio.current_time() + process.POLITE
        finally:
            await child.end(polite=True)
        if status != 0:
            raise self._failure(status, said.text)
        return said.text

    def _failure(self, status: int, said: str) -> DatabaseError:
        if is_connection_failure(said):
            return login_error(self.settings, said)
        return dump_error(status, said, standby=self.standby, lock_timeout=self.lock_milliseconds / 1000)


async def _copy(
    source: int,
    take: Callable[[bytes], Iterable[T]],
    send: Callable[[T], Awaitable[None]],
    rate: TokenBucket | None = None,
) -> None:
    read = 0  # bytes since the last pause

    def taken() -> tuple[list[T], bool, bool]:
        """Read and use in one thread call: what came of it, and whether more may be there, or nothing will come."""
        nonlocal read
        for _ in range(READS):
            chunk = _read(source)
            read += len(chunk or b"")
            items = list(take(chunk)) if chunk else []
            full = chunk is not None and len(chunk) >= GATHER
            if items or not full:
                break
        return items, full, chunk == b""

    more = ended = False
    while not ended:
        if not more:
            await anyio.wait_readable(source)
        items, more, ended = await in_thread(taken)
        for item in items:
            await send(item)
        if rate is not None and read:
            # The pipe fills, then pg_dump waits, then the server's own process.
            await anyio.sleep(rate.take(read, monotonic()))
            read = 0


def _read(source: int) -> bytes | None:
    """The next chunk: what there is and what comes soon; empty at the end, None when there is nothing after all.

    It takes ``PAUSES`` pauses at most, since a thread cannot be cancelled.
    """
    parts: list[bytes] = []
    size = pauses = 0
    while True:
        try:
            data = os.read(source, MAX_CHUNK - size)
        except BlockingIOError:
            pass
        else:
            if not data:
                return b"".join(parts)
            parts.append(data)
            size += len(data)
        if size >= GATHER or pauses == PAUSES:
            return b"".join(parts) or None
        pauses += 1
        time.sleep(PAUSE)
