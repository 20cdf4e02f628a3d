"""What every object store must do, on each of them."""

from __future__ import annotations

import math
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from kleidia_backup.pipeline.engine import MAX_CHUNK
from kleidia_backup.stages.errors import (
    ConfigurationError,
    InternalError,
    ObjectChanged,
    ObjectExists,
    ObjectMissing,
)
from kleidia_backup.stages.stores.base import ObjectInfo, ObjectStore
from kleidia_backup.stages.stores.resuming import Resumable
from kleidia_backup.stages.stores.s3 import replace

from .conftest import PREFIX, Case
from .endpoint import BASE

pytestmark = pytest.mark.anyio

NAME = f"{PREFIX}backup-full-20260117-120000.enc"


@pytest.fixture
def anyio_backend(case: Case) -> str:
    """Which loop this case runs on."""
    return case.backend


def sample(size: int) -> bytes:
    """Bytes of which no two stretches are alike."""
    words = b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))
    return words[:size]


async def upload(
    store: ObjectStore, name: str, data: bytes, part_size: int, order: list[int] | None = None
) -> ObjectInfo:
    """Upload in parts, in the order given, else ascending."""
    upload = await store.create(name, part_size=part_size)
    for number in order or range(1, math.ceil(len(data) / part_size) + 1):
        await upload.put_part(number, bytearray(data[(number - 1) * part_size : number * part_size]))
    return await upload.complete(len(data))


async def read(
    store: ObjectStore, name: str, *, start: int = 0, end: int | None = None, pin: ObjectInfo | None = None
) -> bytes:
    """Read a range, and see that no chunk is too large or empty."""
    chunks = []
    async with store.get(name, start=start, end=end, pin=pin) as body:
        async for chunk in body:
            assert 0 < len(chunk) <= MAX_CHUNK
            chunks.append(chunk)
    return b"".join(chunks)


async def names(found: AsyncIterator[ObjectInfo]) -> list[str]:
    """The names of what a list gives."""
    return [info.name async for info in found]


@pytest.mark.parametrize("order", [[1, 2, 3], [3, 2, 1], [2, 3, 1]], ids=["ascending", "descending", "part 1 last"])
async def test_parts_make_the_object_in_any_order(store: ObjectStore, case: Case, order: list[int]) -> None:
    """Parts are put together by number, not by time; the answer, HEAD and GET agree."""
    data = sample(2 * case.part_size + 17)
    before = datetime.now(UTC)
    info = await upload(store, NAME, data, case.part_size, order)
    assert (info.name, info.size) == (NAME, len(data))
    assert info.is_same(await store.head(NAME))
    assert before - timedelta(minutes=1) < info.modified < datetime.now(UTC) + timedelta(minutes=1)
    assert await read(store, NAME, pin=info) == data
    assert case.uploads() == []


@pytest.mark.parametrize("extra", [-1, 0, 1])
async def test_sizes_around_a_part(store: ObjectStore, case: Case, extra: int) -> None:
    """One part that is not full, exactly full, and a second one of a single byte."""
    data = sample(case.part_size + extra)
    info = await upload(store, NAME, data, case.part_size)
    assert info.size == len(data)
    assert await read(store, NAME) == data


async def test_a_part_sent_again_replaces_itself(store: ObjectStore, case: Case) -> None:
    """The same part twice counts once."""
    data = sample(case.part_size + 5)
    begun = await store.create(NAME, part_size=case.part_size)
    for number in (1, 2, 2):
        await begun.put_part(number, bytearray(data[(number - 1) * case.part_size : number * case.part_size]))
    await begun.complete(len(data))
    assert await read(store, NAME) == data


async def test_parts_may_be_sent_at_once(store: ObjectStore, case: Case) -> None:
    """Several parts in flight do not disturb each other, and the buffers may be reused afterwards."""
    data = sample(3 * case.part_size)
    begun = await store.create(NAME, part_size=case.part_size)

    async def put(number: int) -> None:
        part = bytearray(data[(number - 1) * case.part_size : number * case.part_size])
        await begun.put_part(number, part)
        part.clear()

    async with anyio.create_task_group() as group:
        for number in (3, 1, 2):
            group.start_soon(put, number)
    await begun.complete(len(data))
    assert await read(store, NAME) == data


@pytest.mark.parametrize("size", [0, 1, 100_000])
async def test_small_objects_are_put_at_once(store: ObjectStore, case: Case, size: int) -> None:
    """Put stores everything, and says what it stored."""
    info = await store.put(NAME, bytearray(sample(size)))
    assert (info.name, info.size) == (NAME, size)
    assert info.is_same(await store.head(NAME))
    assert await read(store, NAME, pin=info) == sample(size)
    assert case.uploads() == []


async def test_a_taken_name_is_refused_and_left_alone(store: ObjectStore, case: Case) -> None:
    """Neither create nor put touches an object that is there."""
    first = await store.put(NAME, bytearray(b"first"))
    with pytest.raises(ObjectExists, match="already there"):
        await store.put(NAME, bytearray(b"second"))
    with pytest.raises(ObjectExists, match="already there"):
        await store.create(NAME, part_size=case.part_size)
    assert await read(store, NAME, pin=first) == b"first"
    assert case.uploads() == []


async def test_a_name_taken_meanwhile_is_refused_at_the_end(store: ObjectStore, case: Case) -> None:
    """Complete does not replace an object that came into being during the upload; abort leaves it alone."""
    begun = await store.create(NAME, part_size=case.part_size)
    await begun.put_part(1, bytearray(b"mine"))
    case.meddle(NAME, b"theirs")
    with pytest.raises(ObjectExists):
        await begun.complete(4)
    await begun.abort()
    assert await read(store, NAME) == b"theirs"
    assert case.uploads() == []


async def test_what_is_missing(store: ObjectStore) -> None:
    """Every method that needs an object says that there is none."""
    for attempt in (store.head(NAME), store.delete(NAME), read(store, NAME), read(store, NAME, start=5, end=9)):
        with pytest.raises(ObjectMissing):
            await attempt


async def test_nothing_is_visible_before_complete(store: ObjectStore, case: Case) -> None:
    """An unfinished upload is no object: not listed, not readable, and the name is free."""
    begun = await store.create(NAME, part_size=case.part_size)
    await begun.put_part(1, bytearray(b"data"))
    assert await names(store.list(PREFIX)) == []
    with pytest.raises(ObjectMissing):
        await store.head(NAME)
    await begun.abort()


async def test_ranges(store: ObjectStore) -> None:
    """Start and end are those of Python's slices; what lies past the end is cut."""
    data = sample(1000)
    await store.put(NAME, bytearray(data))
    for start, end in [(0, None), (0, 1), (1, None), (10, 20), (999, None), (990, 5000), (1000, None), (1000, 1010)]:
        assert await read(store, NAME, start=start, end=end) == data[start:end], (start, end)
    assert await read(store, NAME, start=7, end=7) == b""


async def test_large_objects_come_in_chunks(store: ObjectStore) -> None:
    """A range of several MiB comes whole and in bounded chunks."""
    data = sample(3 * MAX_CHUNK + 1)
    await store.put(NAME, bytearray(data))
    assert await read(store, NAME, start=1) == data[1:]


async def test_a_pinned_read_refuses_another_object(store: ObjectStore, case: Case) -> None:
    """After a replacement by as many bytes, by fewer or by more, a pinned read fails and another one does not."""
    pin = await store.put(NAME, bytearray(b"first object"))
    for other in (b"other object", b"short", b"a longer object"):
        case.meddle(NAME, other)
        for start, end in ((0, None), (0, 4), (8, None)):
            with pytest.raises(ObjectChanged):
                await read(store, NAME, start=start, end=end, pin=pin)
        assert await read(store, NAME) == other


async def test_a_pinned_delete_refuses_another_object(store: ObjectStore, case: Case) -> None:
    """Retention deletes what it looked at, or nothing."""
    pin = await store.put(NAME, bytearray(b"first"))
    case.meddle(NAME, b"other")
    with pytest.raises(ObjectChanged):
        await store.delete(NAME, pin=pin)
    assert case.keys() == [NAME]
    await store.delete(NAME, pin=await store.head(NAME))
    assert case.keys() == []


async def test_delete(store: ObjectStore, case: Case) -> None:
    """What was deleted is gone, and nothing else is."""
    await store.put(NAME, bytearray(b"data"))
    await store.put(f"{NAME}.other", bytearray(b"data"))
    await store.delete(NAME)
    assert case.keys() == [f"{NAME}.other"]
    with pytest.raises(ObjectMissing):
        await store.delete(NAME)


async def test_list_in_name_order_under_the_prefix(store: ObjectStore, case: Case) -> None:
    """Names in order, with sizes and times, and only those that begin with the prefix, whatever the prefix ends in."""
    for name in (
        f"{PREFIX}b",
        f"{PREFIX}a",
        f"{PREFIX}a-c",
        f"{BASE}some/backup",
        f"{BASE}some/backups-old/a",
        f"{BASE}other/a",
    ):
        case.meddle(name, name.encode())
    assert await names(store.list(PREFIX)) == [f"{PREFIX}a", f"{PREFIX}a-c", f"{PREFIX}b"]
    assert await names(store.list(f"{PREFIX}a")) == [f"{PREFIX}a", f"{PREFIX}a-c"]
    assert await names(store.list(f"{BASE}none/")) == []
    async with aclosing(store.list(f"{BASE}other/")) as found:  # type: ignore[type-var]  # all are generators
        info = await anext(found)
    assert (info.size, info.modified.tzinfo) == (len(f"{BASE}other/a"), UTC)


async def test_presigned_url(store: ObjectStore, case: Case) -> None:
    """Anybody can read the URL for as long as it is good; a directory has none and says what to do."""
    await store.put(NAME, bytearray(b"data"))
    if case.id == "directory":
        with pytest.raises(ConfigurationError, match="download"):
            await store.presign(NAME, timedelta(hours=1))
        return
    import aiohttp

    url = await store.presign(NAME, timedelta(hours=1))
    trust = ssl.create_default_context(cafile=case.ca_file or None)
    async with aiohttp.ClientSession() as session, session.get(url, ssl=trust) as answer:
        assert (answer.status, await answer.read()) == (200, b"data")
    with pytest.raises(ObjectMissing):
        await store.presign(f"{NAME}.other", timedelta(hours=1))
    with pytest.raises(ConfigurationError, match="seven days"):
        await store.presign(NAME, timedelta(days=8))


@pytest.mark.parametrize("parts", [0, 2])
async def test_abort_leaves_nothing(store: ObjectStore, case: Case, parts: int) -> None:
    """After abort, once or twice, there is no object and no upload, and the upload takes nothing more."""
    begun = await store.create(NAME, part_size=case.part_size)
    for number in range(1, parts + 1):
        await begun.put_part(number, bytearray(sample(case.part_size)))
    await begun.abort()
    await begun.abort()
    assert case.keys() == case.uploads() == []
    with pytest.raises(InternalError):
        await begun.put_part(1, bytearray(b"late"))
    assert case.uploads() == []


async def test_abort_after_complete_does_nothing(store: ObjectStore, case: Case) -> None:
    """A cleanup that comes too late does no harm."""
    begun = await store.create(NAME, part_size=case.part_size)
    await begun.put_part(1, bytearray(b"data"))
    await begun.complete(4)
    await begun.abort()
    assert case.keys() == [NAME]


async def test_incomplete_uploads_are_not_completed(store: ObjectStore, case: Case) -> None:
    """A missing part, a short part in the middle, another size than promised: refused, and abort cleans up."""
    for parts, size in (({2: 10}, 10), ({1: 10, 2: 10}, 20), ({1: 10}, 11), ({}, 0)):
        begun = await store.create(NAME, part_size=case.part_size)
        for number, length in parts.items():
            await begun.put_part(number, bytearray(length))
        with pytest.raises(InternalError):
            await begun.complete(size)
        await begun.abort()
    for number, length in ((0, 1), (10_001, 1), (1, 0), (1, case.part_size + 1)):
        begun = await store.create(NAME, part_size=case.part_size)
        with pytest.raises(InternalError):
            await begun.put_part(number, bytearray(length))
        await begun.abort()
    assert case.keys() == case.uploads() == []


async def test_cancelling_leaves_nothing_after_abort(store: ObjectStore, case: Case) -> None:
    """Parts that are cancelled on their way are forgotten by a shielded abort."""
    begun = await store.create(NAME, part_size=case.part_size)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            for number in (1, 2, 3):
                group.start_soon(begun.put_part, number, bytearray(sample(case.part_size)))
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    with anyio.CancelScope(shield=True):
        await begun.abort()
    assert case.keys() == case.uploads() == []


async def test_check_finds_every_right_there(store: ObjectStore, case: Case) -> None:
    """With every right there, the check finds nothing missing and leaves nothing."""
    assert await store.check() == ()
    assert case.keys() == case.uploads() == []


async def test_stale_uploads_are_aborted(store: ObjectStore, case: Case) -> None:
    """Unfinished uploads under our prefix with a name of ours, and no others."""
    theirs = f"{PREFIX}other-20260117.enc", f"{BASE}elsewhere/backup-full-20260117-120000.enc"
    begun = [await store.create(name, part_size=case.part_size) for name in (NAME, *theirs)]
    for each in begun:
        await each.put_part(1, bytearray(b"data"))
    assert await store.abort_stale(timedelta(seconds=-60)) == 1
    assert len(case.uploads()) == 2
    assert not any("backups/backup" in name for name in case.uploads())
    for each in begun:
        await each.abort()


async def test_unfinished_uploads_are_told(store: ObjectStore, case: Case) -> None:
    """By name, with the bytes that are there and when they began; none when they ended."""
    assert isinstance(store, Resumable)
    assert await store.uploads() == ()
    before = datetime.now(UTC) - timedelta(minutes=5)
    begun = await store.create(NAME, part_size=case.part_size)
    for number in (1, 2):
        await begun.put_part(number, bytearray(sample(case.part_size)))
    (found,) = await store.uploads()
    assert (found.name, found.size) == (NAME, 2 * case.part_size)
    assert found.began <= datetime.now(UTC) + timedelta(minutes=5)
    assert found.began >= before or case.id == "moto"  # where every upload began in 2010
    assert found.id
    (unsized,) = await store.uploads(sizes=False)
    assert (unsized.name, unsized.id) == (found.name, found.id)
    await begun.abort()
    assert await store.uploads() == ()


async def test_a_store_can_be_entered_again(case: Case) -> None:
    """Leaving frees everything; the same store then connects anew."""
    store = case.make()
    for _ in range(2):
        async with store:
            assert await names(store.list(PREFIX)) == []


async def test_a_body_may_be_left_unread(store: ObjectStore, case: Case) -> None:
    """Leaving a download in the middle frees its connection; the store goes on."""
    await store.put(NAME, bytearray(sample(2 * MAX_CHUNK)))
    for _ in range(30):
        async with store.get(NAME) as body:
            assert await anext(body)
    assert (await store.head(NAME)).size == 2 * MAX_CHUNK


@pytest.mark.parametrize("parts", [0, 1, 5])
@pytest.mark.parametrize(("skip", "new"), [(100, 100), (100, 4196), (4196, 100), (0, 10), (10, 0)])
async def test_a_beginning_is_replaced(
    store: ObjectStore, case: Case, parts: int, skip: int, new: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands behind it is as before, whatever the sizes; nothing else is left."""
    monkeypatch.setattr(replace, "PART", case.part_size)
    data, start = sample(max(skip, 1) + parts * case.part_size + 17), b"s" * new
    old = await upload(store, NAME, data, case.part_size)
    info = await store.replace_start(NAME, bytearray(start), skip=skip, pin=old)
    assert (info.name, info.size) == (NAME, len(data) - skip + new)
    assert info.is_same(await store.head(NAME))
    assert not info.is_same(old)
    assert await read(store, NAME, pin=info) == start + data[skip:]
    assert (case.keys(), case.uploads()) == ([NAME], [])
    with pytest.raises(ObjectChanged):
        await store.replace_start(NAME, bytearray(start), skip=skip, pin=old)
    assert (case.keys(), case.uploads()) == ([NAME], [])
    assert await read(store, NAME, pin=info) == start + data[skip:]


async def test_only_what_is_there_is_replaced(store: ObjectStore, case: Case) -> None:
    """Nothing is made where nothing is, and another object is left alone."""
    data = sample(1000)
    old = await store.put(NAME, bytearray(data))
    await store.delete(NAME)
    with pytest.raises(ObjectMissing):
        await store.replace_start(NAME, bytearray(b"x"), skip=1, pin=old)
    await store.put(NAME, bytearray(data[::-1] + b"longer"))
    with pytest.raises(ObjectChanged):
        await store.replace_start(NAME, bytearray(b"x"), skip=1, pin=old)
    assert await read(store, NAME) == data[::-1] + b"longer"
    assert case.uploads() == []
