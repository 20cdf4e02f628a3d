"""Until when the store lets nobody delete the newest archive, as far as that is asked now and then."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import anyio

from ...stages.errors import KleidiaError
from ...stages.stores.locks import locks_of

if TYPE_CHECKING:
    from ...stages.stores.locks import Lock
    from ..service import Service

#: Seconds for which an answer counts, and how long a page waits for one: a store may not answer at all.
_COUNTS, _PATIENCE = 300.0, 1.0


@dataclass(frozen=True, slots=True)
class _Known:
    archive: str
    since: float
    lock: Lock | None


_known: WeakKeyDictionary[Service, _Known] = WeakKeyDictionary()


async def lock_of(service: Service, archive: str | None) -> Lock | None:
    """What keeps an archive; None where its store locks nothing, or does not say.

    Every page shows it, and the store is asked once in a few minutes: a lock is only ever made longer. What fails is
    not asked for again at once either.
    """
    if archive is None:
        return None
    known = _known.get(service)
    if known is None or known.archive != archive or monotonic() - known.since > _COUNTS:
        # Before it is asked, so that pages that come meanwhile do not all wait for a store that hangs.
        before = known.lock if known is not None and known.archive == archive else None
        _known[service] = _Known(archive, monotonic(), before)
        known = _known[service] = _Known(archive, monotonic(), await _asked(service, archive))
    return known.lock


async def _asked(service: Service, archive: str) -> Lock | None:
    with anyio.move_on_after(_PATIENCE):
        try:
            store = await service.settings.store()
            async with store.open() as opened:
                return (await locks_of(opened, [archive])).get(archive)
        except KleidiaError:
            return None
    return None
