"""Chosen secrets once more, out of memory: the reading that verified the archive has kept them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...formats.secret import MAX_ITEM
from ...stages.archive.spans import SpanSource
from ...stages.archive.split import batches
from ..engine import drain
from .reading import Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...formats.secret import Secret
    from ...formats.sql.pieces import Text
    from ...stages.extract.choose import Choose
    from ...stages.stores.base import ObjectInfo, ObjectStore
    from ..engine import Inlet, Outlet, Pipeline


class _Again:
    """Sends secrets, and no SQL."""

    name = "again"

    def __init__(self, secrets: Sequence[Secret]) -> None:
        self._secrets = secrets

    async def __call__(self, nothing: Inlet[bytes], sql: Outlet[Text], secrets: Outlet[Secret]) -> None:
        await drain(nothing)
        await sql.end()
        for together in batches(self._secrets):
            await secrets.send_together(together)


def wire_again(pipeline: Pipeline, store: ObjectStore, info: ObjectInfo, choose: Choose | None) -> Reading | None:
    """A reading of what was chosen, of which nothing is downloaded; None where it was not kept."""
    kept = choose.again() if choose is not None else None
    if kept is None:
        return None
    nothing = pipeline.source(SpanSource(store, info, ()))
    sql, secrets = pipeline.split(_Again(kept), nothing, max_items=(1, MAX_ITEM))
    return Reading(nothing, sql, secrets)
