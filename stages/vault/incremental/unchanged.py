"""The secrets of a folder that did not change since an earlier archive: taken from there, and some sent together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint

from ....formats.secret import PLAIN
from ..kv.client import SMALL
from .turns import Turns

if TYPE_CHECKING:
    from ....formats.secret import Secret
    from ....pipeline.engine import Outlet
    from ..metadata.gather import Gather
    from ..metadata.keys import Listed
    from ..reports import ReadReport
    from .earlier import Earlier

#: Secrets, and bytes of them, that are sent together.
_TOGETHER, _BYTES = 256, 256 * 1024
#: Secrets of a folder that waits for its turn. Smaller ones are near one another in any order, and larger ones have
#: chunks of their own, and a listing that many workers should not hold while they wait.
_WAITS = range(32, 10_000)


class Unchanged:
    """Takes for one stage, and counts in its report. Some wait to be sent together: ``send`` at the end.

    A large secret is never taken, so that what is sent together has ``SMALL`` bytes at most.
    """

    def __init__(self, earlier: Earlier, gather: Gather, report: ReadReport) -> None:
        self.turns = Turns()
        self._earlier = earlier
        self._gather = gather
        self._report = report
        self._one = anyio.Lock(fast_acquire=True)  # who opens chunks of the archive
        self._batch: list[Secret] = []
        self._size = 0

    async def take(
        self, listed: Listed, wanted: Callable[[str], str | None], out: Outlet[Secret], turn: int
    ) -> set[str]:
        """Take what did not change of a folder; the names of these secrets, all of which are still listed.

        ``wanted`` gives the archive path of a name, or None for one that is left alone; ``turn`` is of ``turns``.
        """
        done: set[str] = set()
        earlier, gather, metadata = self._earlier, self._gather, listed.metadata or {}
        if earlier.useless():
            return done
        if len(listed.states) in _WAITS:
            await self.turns.wait(turn)
        for name, state in listed.states.items():
            path = wanted(name)
            if path is None:
                continue
            known = earlier.at_hand(path)
            if known is None:
                async with self._one:
                    known = await earlier.find(path)
            if earlier.useless():
                break
            secret = known and gather.unchanged(known, state, metadata.get(name, PLAIN))
            if not secret or (size := secret.nbytes) > SMALL - _BYTES:
                continue
            self._count(secret)
            done.add(name)
            self._batch.append(secret)
            self._size += size
            if self._size >= _BYTES or len(self._batch) == _TOGETHER:
                await self.send(out)
                await checkpoint()  # sending does not wait while there is room
        return done

    async def send(self, out: Outlet[Secret]) -> None:
        """Send what waits."""
        batch, self._batch, self._size = self._batch, [], 0
        await out.send_together(batch)

    def _count(self, secret: Secret) -> None:
        report, metadata = self._report, secret.metadata
        report.taken += 1
        report.look_at(secret.path, secret.value)
        if metadata is not None:
            report.custom_metadata += bool(metadata.custom_metadata)
            self._gather.report.described += not metadata.plain
        self._gather.report.older += len(secret.older)
