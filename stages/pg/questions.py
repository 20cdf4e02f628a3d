"""Questions asked in a thread: a cancellation, or a server that does not answer, ends them by cutting the connection.

A thread that waits for the server cannot be interrupted from outside, but what it waits for can: a socket that is shut
down reads as its end, under TLS too.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from ...pipeline.engine import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Line:
    """The connection over which a thread asks, for somebody else to cut.

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
        """Whether nobody waits for an answer any more."""
        return self._cut

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is gone already
                self._socket.shutdown(socket.SHUT_RDWR)

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


#: The line of the thread that asks, if there is somebody who may cut it.
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

    answer: list[T] = []
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        try:
            answer.append(await in_thread(ask))
        except Exception as exc:  # noqa: BLE001 - raised again below, without the group around it
            failure = exc
        await checkpoint_if_cancelled()
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return answer[0]
