"""Folders that are listed side by side are taken from in the order in which that began, so that chunks are near."""

from __future__ import annotations

import anyio


class Turns:
    """``begin`` gives a place in the order, ``wait`` returns when all before it have ``end``ed."""

    def __init__(self) -> None:
        self._begun = 0
        self._open: dict[int, anyio.Event | None] = {}  # in order; the event of one that waits

    def begin(self) -> int:
        """The next place."""
        self._begun += 1
        self._open[self._begun] = None
        return self._begun

    def end(self, place: int) -> None:
        """Let the next one begin."""
        del self._open[place]
        if (first := next(iter(self._open.values()), None)) is not None:
            first.set()

    async def wait(self, place: int) -> None:
        """Until all before it have ended. Who does must end, and wait for none behind it."""
        if next(iter(self._open)) != place:
            turn = self._open[place] = anyio.Event()
            await turn.wait()
