"""Ctrl-C, SIGTERM and hang-up: whatever runs is cancelled, cleans up, and only then the process ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self, TypeVar

from ...stages.errors import KleidiaError

T = TypeVar("T")

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "hang-up"}


class Stopped(KeyboardInterrupt):
    """A signal ended the command. Its cause is what cleaning up had to say, if anything."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number
        self.by = _NAMES[signal.Signals(number)]


class Stopper:
    """A context manager that takes the signals over. One that the caller of this process ignores stays ignored.

    Between jobs a signal raises ``Stopped`` at once; during one it cancels the job, which then cleans up.
    """

    def __init__(self) -> None:
        self._number = 0
        self._previous: dict[int, Any] = {}
        self._cancel: Callable[[], object] | None = None
        self._too_late: Callable[[], bool] = bool
        self._over = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _NAMES:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: object) -> None:
        if self._cancel is not None and self._too_late():
            return
        again, self._number = self._number, self._number or number
        if self._cancel is None:
            raise Stopped(number)
        if again and self._over:  # all is done but a result that nobody reads
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._cancel()
        if again:
            sys.stderr.write("Cleaning up; please wait.\n")

    def stop(self) -> None:
        """End what runs, as SIGTERM would: somebody asked the service to."""
        self._handle(signal.SIGTERM, None)

    def run(self, job: Callable[[], Awaitable[T]], *, last: bool = False, too_late: Callable[[], bool] = bool) -> T:
        """Run a job on asyncio and return its result.

        While ``too_late`` says so signals stop nothing, nor does the first one after the ``last`` job: its result is
        printed. A second one ends the process, for it may be nobody who is to read that.
        Raises what the job raises, and ``Stopped`` when a signal ended it.
        """
        self._too_late = too_late
        try:
            done, result = asyncio.run(self._run(job))
        except KleidiaError as exc:
            if self._number:  # a child process met the same Ctrl-C, for example
                raise Stopped(self._number) from exc
            raise
        finally:
            self._over = last
            if not last:
                self._cancel = None
        if not done or (self._number and not last):
            raise Stopped(self._number)
        return result  # type: ignore[return-value]  # the job was done

    async def _run(self, job: Callable[[], Awaitable[T]]) -> tuple[bool, T | None]:
        import anyio

        loop = asyncio.get_running_loop()
        with _woken_by_signals(loop), anyio.CancelScope() as scope:
            self._cancel = lambda: loop.call_soon_threadsafe(scope.cancel)
            try:
                return True, await job()
            finally:
                self._cancel = lambda: None  # the loop is closing; raising inside it would break that
        return False, None


@contextmanager
def _woken_by_signals(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Let every signal end the loop's waiting, so that its handler runs.

    Python notes a signal and calls the handler later, in the main thread. One that comes just before the loop begins to
    wait, or to another thread, would be noted and no more: until something else wakes the loop.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting, waking = socket.socketpair()

    def woken() -> None:
        with suppress(BlockingIOError):
            waiting.recv(4096)

    with waiting, waking:
        waiting.setblocking(False)
        waking.setblocking(False)
        loop.add_reader(waiting, woken)
        before = signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            loop.remove_reader(waiting)
