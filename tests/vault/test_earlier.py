"""An earlier archive that turns out to be of no use while workers take from it."""

from __future__ import annotations

import anyio
import pytest

from kleidia_backup.formats.secret import Origin, Secret
from kleidia_backup.stages.vault.incremental.earlier import Earlier
from kleidia_backup.stages.vault.incremental.outcome import FullRead
from kleidia_backup.stages.vault.incremental.table import ChunkTable
from kleidia_backup.stages.vault.incremental.unchanged import Unchanged
from kleidia_backup.stages.vault.kv.answers import Names
from kleidia_backup.stages.vault.metadata.keys import Listed, State

pytestmark = pytest.mark.anyio


async def test_a_chunk_that_comes_after_the_failure_is_not_kept() -> None:
    """One task waits for it while another is given a secret without its version."""
    table, come = ChunkTable(), anyio.Event()
    table.add("a", 0)
    table.add("b", 1)

    async def load(number: int) -> list[Secret]:
        if number == 1:
            return [Secret("b", b"{}")]
        await come.wait()
        return [Secret("a", b"{}", origin=Origin(1, "2026-01-31T23:59:59.123456789Z"))]

    earlier, found = Earlier(table, load, 2), list[Secret | None]()

    async def find() -> None:
        found.append(await earlier.find("a"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(find)
        await anyio.wait_all_tasks_blocked()
        assert await earlier.find("b") is None
        assert earlier.failed == FullRead("unrecorded")
        come.set()
    assert found == [None]
    assert earlier.at_hand("a") is None


async def test_nobody_waits_for_a_turn_to_take_from_what_failed() -> None:
    """Another worker may list its folder for long."""
    earlier = Earlier(ChunkTable(), None, 0)  # type: ignore[arg-type]
    earlier.failed = FullRead("store")
    unchanged = Unchanged(earlier, None, None)  # type: ignore[arg-type]
    unchanged.turns.begin()
    listed = Listed(Names(), {}, {f"{n}": State(1, "") for n in range(100)})
    with anyio.fail_after(5):
        assert await unchanged.take(listed, lambda name: name, None, unchanged.turns.begin()) == set()  # type: ignore[arg-type]
