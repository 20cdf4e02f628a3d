"""The order in which folders that are listed side by side are taken from."""

from __future__ import annotations

import anyio
import pytest

from kleidia_backup.stages.vault.incremental.turns import Turns

pytestmark = pytest.mark.anyio


async def test_who_comes_late_is_waited_for() -> None:
    """In the order in which they began, and nobody for one that ended without waiting."""
    turns, seen = Turns(), list[int]()
    first, *others = [turns.begin() for _ in range(4)]

    async def waits(turn: int) -> None:
        await turns.wait(turn)
        seen.append(turn)
        turns.end(turn)

    async with anyio.create_task_group() as tasks:
        for turn in (others[2], others[0]):
            tasks.start_soon(waits, turn)
        await anyio.wait_all_tasks_blocked()
        turns.end(others[1])
        await anyio.wait_all_tasks_blocked()
        assert seen == []
        turns.end(first)
    assert seen == [others[0], others[2]]
