"""Calls of libraries that wait for a server as long as it likes to be slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Thread
from typing import TypeVar

from .channel import NotSent

T = TypeVar("T")

#: Calls of one channel that still wait, at most.
_MOST = 4


@dataclass(eq=False)
class Aside:
    """Threads that nobody waits for, and that end with the process.

    A pool's would keep the process from its end, and the pool's other users from their work: a server that says a
    little every few seconds is never silent for long enough.
    """

    _threads: list[Thread] = field(default_factory=list)

    async def run(self, work: Callable[[], T]) -> T:
        """What ``work`` returns or raises. Raises ``NotSent`` (``timeout``) while too many calls still wait."""
        self._threads = [each for each in self._threads if each.is_alive()]
        if len(self._threads) >= _MOST:
            raise NotSent("timeout")
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # so it is not cancelled when nobody waits any more

        def call() -> None:
            try:
                future.set_result(work())
            except BaseException as exc:  # noqa: BLE001 - who waits gets it
                future.set_exception(exc)

        thread = Thread(target=call, name="notify", daemon=True)
        self._threads.append(thread)
        thread.start()
        return await asyncio.wrap_future(future)
