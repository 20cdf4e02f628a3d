"""Pins on stores: an archive that can be locked is put on legal hold, and taken off again."""

from __future__ import annotations

import pytest

from kleidia_backup.demo.servers.s3 import Bucket
from kleidia_backup.pipeline.retention.pins import is_pinned, pin_in, pinned_in, pins_of, read_pin, unpin_in
from kleidia_backup.stages.errors import ObjectMissing, ObjectRetained
from kleidia_backup.stages.stores.directory.store import DirectorySettings
from kleidia_backup.stages.stores.locks import hold
from kleidia_backup.stages.stores.s3.store import S3Store

from .conftest import PREFIX, settings_for
from .test_contract import names

pytestmark = pytest.mark.anyio

NAME = f"{PREFIX}backup-full-20260117-120000.enc"
OTHER = f"{PREFIX}backup-vault-20260117-120000.enc"


async def test_a_pin_is_a_legal_hold_where_there_is_one(locking_bucket: Bucket) -> None:
    """Then not even the key deletes it; who had put it on hold before keeps that."""
    async with S3Store(settings_for(locking_bucket)) as store:
        for name in (NAME, OTHER):
            await store.put(name, bytearray(b"an archive"))
        await hold(store, OTHER, on=True)
        assert (await pin_in(store, NAME, reason="case 7", by="ada")).held
        assert not (await pin_in(store, OTHER)).held
        assert (await store.lock_of(NAME)).held
        with pytest.raises(ObjectRetained):
            await store.delete(NAME, pin=await store.head(NAME))
        assert pinned_in(await names(store.list(PREFIX))) == {NAME, OTHER}
        first, second = await pins_of(store, {NAME, OTHER})
        assert (first.reason, first.by, first.held, second.held) == ("case 7", "ada", True, False)
        assert await unpin_in(store, NAME)
        assert await unpin_in(store, OTHER)
        assert not (await store.lock_of(NAME)).held
        assert (await store.lock_of(OTHER)).held
        assert not await unpin_in(store, NAME)


async def test_a_damaged_pin_pins(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever it says; and what is not there cannot be pinned, nor is it by a pin that was left."""
    directory = tmp_path_factory.mktemp("store")
    async with DirectorySettings(directory, PREFIX).open() as store:
        await store.put(NAME, bytearray(b"an archive"))
        for content in (b"", b"\xff", b"[" * 100_000, b'"text"', b'{"at": "yesterday", "reason": 7}'):
            await store.put(f"{NAME}.pin", bytearray(content))
            assert await is_pinned(store, NAME)
            pin = await read_pin(store, NAME)
            assert pin is not None
            assert (pin.archive, pin.at) == (NAME, None)
            assert (await pin_in(store, NAME, reason="another")) == pin
            assert await unpin_in(store, NAME)
        with pytest.raises(ObjectMissing):
            await pin_in(store, OTHER)
        assert await names(store.list(PREFIX)) == [NAME]
