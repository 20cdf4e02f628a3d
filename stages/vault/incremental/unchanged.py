"""The secrets of a folder that did not change since an earlier archive: sent from there, some together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint

from ....formats.secret import PLAIN
from ..kv.client import SMALL

if TYPE_CHECKING:
    from ....formats.secret import Secret
    from ....pipeline.engine import Outlet
    from ..metadata.gather import Gather
    from ..metadata.keys import Listed, State
    from ..reports import ReadReport
    from .earlier import Earlier

#: Secrets, and bytes of them, that are sent together.
_TOGETHER, _BYTES = 256, 256 * 1024


class Unchanged:
    """Takes for one stage, and counts in its report."""

    def __init__(self, earlier: Earlier, gather: Gather, report: ReadReport) -> None:
        self._earlier = earlier
        self._gather = gather
        self._report = report
        # One folder after the other asks for chunks of the archive, so that few of them are held.
        self._one = anyio.Lock()

    async def take(self, listed: Listed, wanted: Callable[[str], str | None], out: Outlet[Secret]) -> set[str]:
        """Send what did not change of a folder; the names of these secrets, all of which are still listed.

        ``wanted`` gives the archive path of a name, or None for one that is left alone. A large secret is never taken,
        so that what is sent together has ``SMALL`` bytes at most.
        """
        done: set[str] = set()
        states = iter(listed.states.items())
        more = True
        while more and self._earlier.failed is None:
            async with self._one:
                batch, more = await self._some(states, listed, wanted, done)
            await out.send_together(batch)
            await checkpoint()  # sending does not wait while there is room
        return done

    async def _some(
        self,
        states: Iterator[tuple[str, State]],
        listed: Listed,
        wanted: Callable[[str], str | None],
        done: set[str],
    ) -> tuple[list[Secret], bool]:
        """The next ones, and whether there may be more."""
        batch: list[Secret] = []
        room = _BYTES
        metadata = listed.metadata or {}
        for name, state in states:
            path = wanted(name)
            known = None if path is None else await self._earlier.find(path)
            if known is None:
                continue
            secret = self._gather.unchanged(known, state, metadata.get(name, PLAIN))
            if secret is None or (size := secret.nbytes) > SMALL - _BYTES:
                continue
            self._count(secret)
            done.add(name)
            batch.append(secret)
            room -= size
            if room <= 0 or len(batch) == _TOGETHER:
                return batch, True
        return batch, False

    def _count(self, secret: Secret) -> None:
        report, metadata = self._report, secret.metadata
        report.taken += 1
        report.look_at(secret.path, secret.value)
        if metadata is not None:
            report.custom_metadata += bool(metadata.custom_metadata)
            self._gather.report.described += not metadata.plain
        self._gather.report.older += len(secret.older)
