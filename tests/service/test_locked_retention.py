"""Retention, pins and legal holds on a bucket that locks archives."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kleidia_backup.demo.servers.s3 import Bucket
from kleidia_backup.pipeline.archives.actions import delete, pin, unpin
from kleidia_backup.pipeline.archives.listing import list_archives
from kleidia_backup.pipeline.retention.plan import carry_out, plan
from kleidia_backup.pipeline.retention.rules import Aged, Rules
from kleidia_backup.stages.errors import ObjectRetained
from kleidia_backup.stages.stores.base import ObjectInfo

from ..buckets import s3_settings
from .test_retention import Everything, content, made

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("locking_bucket", ["seaweedfs"], indirect=True)
async def test_what_is_locked_is_kept_and_said(locking_bucket: Bucket) -> None:
    """It stops nothing else; a pin holds its archive for everybody, and without the pin that goes."""
    free = s3_settings(locking_bucket)
    newest, locked, pinned, old = (made(days) for days in (0, 40, 50, 60))
    for each, settings in (
        (newest, free),
        (locked, replace(free, lock_mode="governance", lock_days=1)),
        (pinned, free),
        (old, free),
    ):
        async with settings.open() as store:
            await store.put(each.name, bytearray(content(each)))
    assert (await pin(pinned.name, free, reason="the audit")).held
    async with free.open() as store:
        with pytest.raises(ObjectRetained):
            await store.delete(pinned.name, pin=await store.head(pinned.name))
    shown = {each.name: (each.held, each.locked_until is not None) for each in await list_archives(free)}
    assert shown == {
        newest.name: (False, False),
        locked.name: (False, True),
        pinned.name: (True, False),
        old.name: (False, False),
    }

    deleted: list[str] = []

    async def note(aged: Aged, _: ObjectInfo) -> None:
        deleted.append(aged.name)

    async def retain() -> dict[str, tuple[str, ...]]:
        async with free.open() as store:
            decided = await plan(
                store, Rules(days=30, at_least=1), newest.created_at + timedelta(hours=1), Everything()
            )
            assert await carry_out(store, decided, note) == []
            return {each.archive.name: each.reasons for each in decided.decisions}

    assert (await retain())[locked.name] == ("locked",)
    assert deleted == [old.name]
    assert await unpin(pinned.name, free)
    await retain()
    assert deleted == [old.name, pinned.name]
    with pytest.raises(ObjectRetained) as refused:
        await delete(locked.name, free)
    assert refused.value.until is not None
    assert refused.value.until > datetime.now(UTC)
