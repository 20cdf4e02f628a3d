"""Which archives a copy does not keep: its own retention, by the names of what both stores have.

An archive whose name does not say when it was made never grows too old.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from ..retention.plan import by_name
from ..retention.rules import decide

if TYPE_CHECKING:
    from ..retention.rules import Rules


def given_up(
    names: Iterable[str], rules: Rules, now: datetime, pinned: Collection[str], proven: Collection[str] = ()
) -> frozenset[str]:
    """Of these names, without a prefix, those that the rules of a copy give up.

    What is ``pinned`` stays, and of each type the newest that a drill has ``proven``.
    """
    aged = [each for name in names if (each := by_name(name, "")) is not None]
    return frozenset(each.archive.name for each in decide(aged, now, rules, pinned=pinned, proven=proven) if each.goes)
