"""Questions asked in a thread: a cancellation, or a server that does not answer, ends them by cutting the connection.

A thread that waits for the server cannot be interrupted from outside, but what it waits for can: a socket that is shut
down reads as its end, under TLS too.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from time import monotonic
from typing import TypeVar, TypeVarTuple

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from ....pipeline.engine import in_thread, task_group

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Line:
    """The connection of a thread that queries, which another task may cut.

    It holds a descriptor of its own: libpq closes its one as soon as it fails, and then that number may be another's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._asked = 0.0
        self._cut = self._done = False
        #: Whether it was cut because the server did not answer in time.
        self.late = False

    def hold(self, descriptor: int) -> None:
        """This is the connection now; after a cut it is cut at once."""
        with self._lock:
            self._close()
            if not self._done:
                self._socket = socket.socket(fileno=os.dup(descriptor))
                self._asked = monotonic()
                if self._cut:
                    self._shut()

    def asks(self) -> None:
        """A question begins now."""
        self._asked = monotonic()

    def release(self) -> None:
        """The connection ends."""
        with self._lock:
            self._close()

    def let_go(self) -> None:
        """Everything is answered: what is still open stays so."""
        with self._lock:
            self._close()
            self._done = True

    def left(self, seconds: float) -> float:
        """What is left of these seconds for the question that is asked now; all of them when none is."""
        with self._lock:
            return seconds if self._socket is None else self._asked + seconds - monotonic()

    def cut(self) -> None:
        """End the connection, so that the thread that waits for it learns that it is gone; every later one as well."""
        with self._lock:
            self._cut = True
            self._shut()

    @property
    def is_cut(self) -> bool:
        """Whether the connection was cut."""
        return self._cut

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is gone already
                self._socket.shutdown(socket.SHUT_RDWR)

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


#: The line of the querying thread, if it may be cut.
line: ContextVar[Line | None] = ContextVar("line", default=None)


async def answered(function: Callable[[*Ts], T], *args: *Ts, limit: float) -> T:
    """Run questions in a thread, each of which the server has to answer within ``limit`` seconds.

    A cancellation cuts the connection, and ends one that is still being made; only the resolving of a host's name it
    waits for. ``function`` may leave a connection open: that stays.

    Raises what ``function`` raises; with ``connect``, that is ``DatabaseUnreachable`` for a server that is silent.
    """
    asking = Line()

    def ask() -> T:
        line.set(asking)  # in the thread's own copy of the context
        try:
            return function(*args)
        finally:
            asking.let_go()

    async def watch() -> None:
        try:
            while (left := asking.left(limit)) > 0:  # noqa: ASYNC110 - the clock begins anew in the thread
                await anyio.sleep(left)
            asking.late = True
        finally:
            asking.cut()

    async with task_group() as tasks:
        tasks.start_soon(watch)
        try:
            answer = await in_thread(ask)
        finally:
            await checkpoint_if_cancelled()
        tasks.cancel_scope.cancel()
    return answer


async def side_by_side(first: Callable[[], Awaitable[A]], second: Callable[[], Awaitable[B]]) -> tuple[A, B]:
    """Ask two things at once. Where one fails the other is cancelled; of two errors the first one's is raised."""
    found_first: list[A] = []
    found_second: list[B] = []
    failed: dict[int, Exception] = {}

    async def ask(place: int, question: Callable[[], Awaitable[T]], found: list[T]) -> None:
        try:
            found.append(await question())
        except Exception as exc:  # noqa: BLE001 - raised below
            failed[place] = exc
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, 0, first, found_first)
        tasks.start_soon(ask, 1, second, found_second)
    if failed:
        raise failed[min(failed)]
    return found_first[0], found_second[0]
