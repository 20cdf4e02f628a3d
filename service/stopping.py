"""Ctrl-C, SIGTERM and hang-up: whatever runs is cancelled, cleans up, and only then the process ends."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ..stages.errors import KleidiaError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "hang-up"}


class Stopped(KeyboardInterrupt):
    """A signal ended the command. ``why`` is what cleaning up had to say, if anything."""

    def __init__(self, number: int, why: str = "") -> None:
        super().__init__()
        self.exit_code = 128 + number
        self.by = _NAMES[signal.Signals(number)]
        self.why = why


class Stopper:
    """A context manager that takes the signals over. One that the caller of this process ignores stays ignored.

    Between jobs a signal raises ``Stopped`` at once; during one it cancels the job, which then cleans up.
    """

    def __init__(self) -> None:
        self._number = 0
        self._previous: dict[int, Any] = {}
        self._cancel: Callable[[], object] | None = None
        self._too_late: Callable[[], bool] = bool

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
        self._cancel()
        if again:
            sys.stderr.write("Cleaning up; please wait.\n")

    def run(self, job: Callable[[], Awaitable[T]], *, last: bool = False, too_late: Callable[[], bool] = bool) -> T:
        """Run a job on asyncio and return its result.

        While ``too_late`` says so, and after the ``last`` job, signals stop nothing any more.
        Raises what the job raises, and ``Stopped`` when a signal ended it.
        """
        self._too_late = too_late
        try:
            done, result = asyncio.run(self._run(job))
        except KleidiaError as exc:
            if self._number:  # a child process met the same Ctrl-C, for example
                raise Stopped(self._number, exc.message) from exc
            raise
        finally:
            if not last:
                self._cancel = None
        if not done or (self._number and not last):
            raise Stopped(self._number)
        return result  # type: ignore[return-value]  # the job was done

    async def _run(self, job: Callable[[], Awaitable[T]]) -> tuple[bool, T | None]:
        import anyio

        loop = asyncio.get_running_loop()
        with anyio.CancelScope() as scope:
            self._cancel = lambda: loop.call_soon_threadsafe(scope.cancel)
            try:
                return True, await job()
            finally:
                self._cancel = lambda: None  # the loop is closing; raising inside it would break that
        return False, None
