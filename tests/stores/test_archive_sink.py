"""Archives whose parts ascend, as those of format V2, on every store; and on one that takes no others."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from kleidia_backup import Root, backup, restore, verify
from kleidia_backup.demo.servers.kv import KvMount
from kleidia_backup.demo.servers.s3 import Bucket, start_s3
from kleidia_backup.pipeline.engine import Outlet, Pipeline, StageFailed
from kleidia_backup.stages.archive.upload import ArchiveSink
from kleidia_backup.stages.errors import PayloadError
from kleidia_backup.stages.stores.base import ObjectStore, Upload

from ..vault.stub import settings
from .conftest import PREFIX, Case, settings_for

pytestmark = pytest.mark.anyio

NAME = f"{PREFIX}backup-full-20260117-120000.enc"
PASSWORD = "correct horse battery staple"
PREAMBLE = b"preamble" * 50


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Which loop this case runs on."""
    if "case" not in request.fixturenames:
        return "asyncio"
    return str(request.getfixturevalue("case").backend)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch, store: ObjectStore) -> list[tuple[int, int]]:
    """Number and size of each part, in the order in which they were begun."""
    parts: list[tuple[int, int]] = []
    create = store.create

    async def noting(name: str, *, part_size: int) -> Upload:
        upload = await create(name, part_size=part_size)
        put = upload.put_part

        async def put_part(number: int, data: bytearray) -> None:
            parts.append((number, len(data)))
            await put(number, data)

        monkeypatch.setattr(upload, "put_part", put_part)
        return upload

    monkeypatch.setattr(store, "create", noting)
    return parts


async def send(store: ObjectStore, sink: ArchiveSink, data: bytes, *, fails_after: list[Any] | None = None) -> None:
    async def source(out: Outlet[bytes]) -> None:
        for at in range(0, len(data), 50_000):
            await out.send(data[at : at + 50_000])
        if fails_after is not None:
            while not fails_after:  # noqa: ASYNC110 - the list is filled by what is tested
                await anyio.sleep(0.001)
            raise PayloadError("As told.")

    pipeline = Pipeline()
    pipeline.sink(sink, pipeline.source(source, name="source"))
    await pipeline.run()


async def test_parts_ascend(case: Case, store: ObjectStore, begun: list[tuple[int, int]]) -> None:
    """All but the last have the size that was asked for, and the object is preamble and data."""
    data = os.urandom(3 * case.part_size)
    sink = ArchiveSink(store, NAME, preamble=PREAMBLE, part_size=case.part_size)
    await send(store, sink, data)
    assert begun == [*((number, case.part_size) for number in (1, 2, 3)), (4, len(PREAMBLE))]
    assert (sink.parts, case.keys(), case.uploads()) == (4, [NAME], [])
    async with store.get(NAME) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == PREAMBLE + data


@pytest.mark.parametrize("why", ["failure", "cancellation"])
async def test_nothing_is_left(case: Case, store: ObjectStore, begun: list[tuple[int, int]], why: str) -> None:
    """Neither an object nor an unfinished upload, when the input fails or the job is cancelled after some parts."""
    sink = ArchiveSink(store, NAME, preamble=PREAMBLE, part_size=case.part_size)
    data = os.urandom(3 * case.part_size)
    if why == "failure":
        with pytest.raises(StageFailed):
            await send(store, sink, data, fails_after=begun)
    else:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(send, store, sink, data)
                while not begun:
                    await anyio.lowlevel.checkpoint()
                scope.cancel()
    assert begun
    assert (case.keys(), case.uploads()) == ([], [])


@pytest.fixture
def strict_bucket(tmp_path: Path) -> Iterator[Bucket]:
    """A bucket of ``rclone serve s3`` that keeps no part in memory until its turn comes."""
    server, process = start_s3(tmp_path, buffer_limit="1")
    try:
        yield server.create_bucket(f"strict-{secrets.token_hex(6)}")
    finally:
        process.stop()


async def test_a_store_that_wants_parts_in_order(strict_bucket: Bucket, kv_mount: Callable[[int], KvMount]) -> None:
    """An archive of several parts is stored, verified and restored there in format V2; V1 comes to no end."""
    kv = kv_mount(2)
    values = {f"large/{number:02}": {"value": secrets.token_hex(350_000)} for number in range(40)}
    for path, value in values.items():
        kv.put(path, value)
    store, vault = settings_for(strict_bucket), settings(kv.server, Root("", kv.path))
    with anyio.move_on_after(5) as waited:
        await backup(vault=vault, store=store, password=PASSWORD, part_size=5 << 20, name="v1.enc")
    assert waited.cancelled_caught
    made = await backup(vault=vault, store=store, password=PASSWORD, part_size=5 << 20, name="v2.enc", format="v2")
    assert made.size > 2 * (5 << 20)
    assert (await verify("v2.enc", store=store, password=PASSWORD)).secrets == 40
    for path in values:
        kv.delete(path)
    assert (await restore("v2.enc", vault=vault, store=store, password=PASSWORD)).written == 40
    assert kv.all() == values
