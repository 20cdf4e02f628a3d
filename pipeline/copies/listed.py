"""The copies of archives that are listed: each store is asked once, and none for long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from ...stages.errors import KleidiaError
from ...stages.stores.base import ObjectInfo
from ..engine import task_group
from .states import look

if TYPE_CHECKING:
    from ..archives.copied import CopyState
    from ..archives.listing import ArchiveInfo
    from .settings import Copy

#: Seconds in which a copy's store answers somebody who only lists.
PATIENCE = 20.0


async def with_copies(
    archives: Sequence[ArchiveInfo], copies: Sequence[Copy], prefix: str
) -> tuple[list[ArchiveInfo], list[str]]:
    """The lines of a listing with the states of their copies, and warnings about stores that did not answer.

    ``prefix`` is that of the store that was listed.
    """
    first = {each.name[len(prefix) :]: ObjectInfo(each.name, each.size, each.modified, each.etag) for each in archives}
    found: dict[int, dict[str, CopyState]] = {}
    warnings: list[str] = []

    async def ask(copy: Copy) -> None:
        try:
            with anyio.fail_after(PATIENCE):
                async with copy.store.open() as store:
                    found[copy.number] = dict((await look(first, store, copy.name)).states)
        except KleidiaError as exc:
            warnings.append(f"The copy {copy.name} cannot be listed: {exc.message} {exc.hint}")
        except TimeoutError:
            warnings.append(f"The copy {copy.name} cannot be listed: its store did not answer in {PATIENCE:.0f} s.")

    async with task_group() as tasks:
        for copy in copies:
            tasks.start_soon(ask, copy)
    lines = []
    for each in archives:
        states = tuple(found[number][each.name[len(prefix) :]] for number in sorted(found))
        lines.append(replace(each, known=replace(each.known, copies=states if found else None)))
    return lines, warnings
