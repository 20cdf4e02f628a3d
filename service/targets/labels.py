"""Queues by labels: a target's jobs go to replicas that have all of its labels; without labels, to any."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .held import Held


def queue_of(labels: Iterable[str]) -> str:
    """The queue of the targets with exactly these labels. Short, as ``work.queue.queue_names`` says."""
    named = ",".join(sorted(set(labels)))
    return f"kleidia-at-{hashlib.sha256(named.encode()).hexdigest()[:16]}" if named else "kleidia-anywhere"


class LabelRoutes:
    """The queues of a replica with ``labels``; ``held`` gives the targets as they are now."""

    def __init__(self, labels: Collection[str], held: Callable[[], Mapping[str, Held]]) -> None:
        self._held = held
        mine = sorted(set(labels))
        self.taken = tuple(queue_of(some) for size in range(len(mine) + 1) for some in combinations(mine, size))

    @property
    def targets(self) -> Collection[str]:
        """Those that can be used here."""
        return {name for name, each in self._held().items() if each.service is not None}

    def of(self, target: str) -> str:
        """The queue of a target."""
        held = self._held().get(target)
        return queue_of(held.labels if held is not None else ())
