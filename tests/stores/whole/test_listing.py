"""More objects than one answer of a store holds, on each of them."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from kleidia_backup.demo.servers.s3 import Bucket
from kleidia_backup.stages.stores.s3.store import S3Store

from ..conftest import settings_for
from .conftest import Place

#: S3 gives a thousand a page, and so does a listing of ours.
MANY = 1200

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]


def fill(bucket: Bucket, names: list[str]) -> None:
    """Store small objects, some at once."""
    with contextlib.closing(bucket.server.client()) as client, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: client.put_object(Bucket=bucket.name, Key=name, Body=b"no archive"), names))


async def test_1200_objects(place: Place) -> None:
    """Every one comes once, in the order of its name; others that begin alike are left out."""
    names = [f"{place.prefix}backup-full-20260101-{number:06d}.enc" for number in range(MANY)]
    fill(place.bucket, [*reversed(names), f"{place.bucket.under}backups-old/backup-full-20260101-000000.enc"])
    async with S3Store(settings_for(place.bucket, prefix=place.prefix)) as store:
        assert [info.name async for info in store.list(place.prefix)] == names
        assert [info.name async for info in store.list(names[1100][:-6])] == names[1100:]
