"""Many workers on one edge: how many, how far ahead, and how it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio
import pytest
from anyio.lowlevel import checkpoint

from kleidia_backup.stages.vault.fan_out import fan_out

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])]


def numbers(*sizes: int) -> Callable[[], Awaitable[Sequence[int]]]:
    """Batches of so many numbers, counted up from 0."""
    left = list(sizes)
    given = 0

    async def batch() -> Sequence[int]:
        nonlocal given
        await checkpoint()
        size = left.pop(0) if left else 0
        given += size
        return range(given - size, given)

    return batch


@pytest.mark.parametrize("sizes", [(1,) * 50, (7, 1, 90, 3), (200,), ()])
async def test_every_item_once_and_so_many_at_a_time(sizes: tuple[int, ...]) -> None:
    """Whatever the batches, no item is lost, and no more are under way than there are workers."""
    done: list[int] = []
    running = most = 0

    async def handle(item: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(item % 5 + 1):
            await checkpoint()
        running -= 1
        done.append(item)

    await fan_out(numbers(*sizes), 6, handle)
    assert sorted(done) == list(range(sum(sizes)))
    assert most <= 6
    assert most == 6 or sum(sizes) == len(sizes)


async def test_the_next_batch_is_there_before_the_workers_need_it() -> None:
    """One batch waits besides the one that they take from, and no more."""
    asked, handled = 0, 0
    more = numbers(*[10] * 20)

    async def batch() -> Sequence[int]:
        nonlocal asked
        asked += 1
        return await more()

    async def handle(_: int) -> None:
        nonlocal handled
        await anyio.wait_all_tasks_blocked()
        assert asked == min(21, (handled + 1) // 10 + 2)
        handled += 1

    await fan_out(batch, 1, handle)
    assert handled == 200


async def test_large_items_come_one_at_a_time_beside_the_others() -> None:
    """The workers do not meet at them."""
    running = most = 0

    async def handle(item: int) -> None:
        nonlocal running, most
        running += item % 3 == 0
        most = max(most, running)
        for _ in range(3):
            await checkpoint()
        running -= item % 3 == 0

    await fan_out(numbers(30, 30), 6, handle, lambda item: item % 3 == 0)
    assert most == 1


@pytest.mark.parametrize("where", ["handle", "batch"])
async def test_an_error_ends_it(where: str) -> None:
    """What a worker raises, or what gives the items, ends all of them."""
    more = numbers(5, 5, 5)
    seen = 0

    async def batch() -> Sequence[int]:
        if where == "batch" and seen:
            raise LookupError("no more")
        return await more()

    async def handle(item: int) -> None:
        nonlocal seen
        seen += 1
        if where == "handle" and item == 7:
            raise LookupError("this one")
        await checkpoint()

    with pytest.raises(ExceptionGroup) as caught:
        await fan_out(batch, 2, handle)
    assert caught.group_contains(LookupError)
    assert seen < 15


async def test_it_can_be_cancelled() -> None:
    """Wherever its workers and whoever gives the items are."""
    with anyio.move_on_after(0) as scope:
        await fan_out(numbers(*[5] * 1000), 3, lambda _: checkpoint())
    assert scope.cancelled_caught
