"""Rate limits over all replicas: never more than the limit, however many ask at the same time."""

import asyncio

import pytest

from kleidia_backup import PostgresSettings
from kleidia_backup.service.control.database import Control
from kleidia_backup.service.control.limits import LONGEST_WINDOW, Limits


async def rows(control: Control) -> int:
    async with control.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM kleidia_backup.limits")
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def pass_time(control: Control, seconds: float) -> None:
    """As if everything had been asked for earlier."""
    async with control.connection() as connection:
        await connection.execute(
            "UPDATE kleidia_backup.limits SET window_start = window_start - make_interval(secs => %s)", (seconds,)
        )


@pytest.mark.anyio
async def test_the_limit_is_kept_and_says_how_long(control: Control) -> None:
    """Three an hour: the fourth is told the seconds until the next window, in which three are allowed again."""
    limits = Limits(control, "app")
    assert [await limits.take("restore:ada", 3, 3600) for _ in range(3)] == [None] * 3
    left = await limits.take("restore:ada", 3, 3600)
    assert left is not None
    assert 0 < left <= 3600
    assert await limits.take("restore:bob", 3, 3600) is None
    await pass_time(control, 3600)
    assert await limits.take("restore:ada", 3, 3600) is None


@pytest.mark.anyio
async def test_replicas_at_the_same_time_share_a_limit(control: Control, control_database: str) -> None:
    """Forty attempts over two replicas at once, ten allowed: exactly ten get through."""
    async with Control(PostgresSettings(control_database)) as other:
        replicas = (Limits(control, "app"), Limits(other, "app"))
        taken = await asyncio.gather(*(replicas[n % 2].take("validate:192.0.2.7", 10, 86_400) for n in range(40)))
    assert taken.count(None) == 10


@pytest.mark.anyio
async def test_hammering_does_not_overflow(control: Control) -> None:
    """The counter stops behind its limit, however often somebody tries."""
    for _ in range(9):
        await Limits(control, "app").take("key", 2, 3600)
    async with control.connection() as connection:
        cursor = await connection.execute("SELECT count FROM kleidia_backup.limits")
        assert await cursor.fetchall() == [(3,)]


@pytest.mark.anyio
async def test_old_windows_are_deleted(control: Control) -> None:
    """Windows long over go when the next one begins; those that may still count stay."""
    limits = Limits(control, "app")
    await limits.take("old", 1, LONGEST_WINDOW)
    await pass_time(control, 3 * LONGEST_WINDOW)
    await limits.take("young", 1, LONGEST_WINDOW)
    assert await rows(control) == 1
    await limits.take("younger", 1, 60)
    assert await rows(control) == 2


@pytest.mark.anyio
async def test_any_text_can_be_a_key(control: Control) -> None:
    """NUL, half surrogates and megabytes, as an address that a client makes up may hold, are counted as well."""
    for key in ("a\0b", "\ud800", "x" * 10**6, ""):
        assert await Limits(control, "app").take(key, 1, 3600) is None
        assert await Limits(control, "app").take(key, 1, 3600) is not None
