"""Archives of format V2 changed by an enemy who has the data key, so that every seal is right.

What the enemy puts in takes a number of a sequence, which no rollback gives back: so it is seen if it ever ran.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import zstandard

from kleidia_backup import DamagedArchive, Keys, SigningKey, backup, restore, verify
from kleidia_backup.formats.v2.entries import Entry
from kleidia_backup.formats.v2.floe import Sealer
from kleidia_backup.formats.v2.frames import Packed
from kleidia_backup.formats.v2.head import payload_key
from kleidia_backup.formats.v2.payload import PayloadWriter
from kleidia_backup.formats.v2.tar import BLOCK, Locator
from kleidia_backup.pipeline.archives.opening import open_archive
from kleidia_backup.pipeline.archives.slots import find_data_key
from kleidia_backup.pipeline.archives.v2 import OpenV2

from .conftest import PASSWORD, System, wreck

pytestmark = pytest.mark.anyio

SIGNING = SigningKey.generate()
KEYS = Keys(signing_key=SIGNING)
ENEMY = {"sql": b"SELECT nextval('public.canary');\n--", "kv": b'{"path":"kleidia/enemy","value":{"a":"'}
BEHIND = {"sql": b"\n", "kv": b'"}}\n'}

Change = Callable[[OpenV2, bytes], bytes]


def hostile(kind: str, size: int) -> tuple[bytes, bytes]:
    """What the enemy wants to be read, in a frame of so many bytes; and the frame."""
    for seed in range(100):  # of one noise some sizes do not come up
        noise = Random(seed).randbytes(size).hex().encode()
        for length in range(size // 2, 2 * size):
            text = ENEMY[kind] + noise[:length] + BEHIND[kind]
            frame = zstandard.compress(text)
            if len(frame) == size:
                return text, frame
    raise AssertionError("no frame of this size")


def first(archive: OpenV2, kind: str) -> tuple[int, Entry]:
    """The first chunk of a kind."""
    return next((number, entry) for number, entry in enumerate(archive.index.entries) if entry.k == kind)


def another_chunk(kind: str) -> Change:
    """Of the same size, in the place of the first one."""

    def change(archive: OpenV2, payload: bytes) -> bytes:
        number, entry = first(archive, kind)
        start = archive._layout.span(number)[0] + BLOCK
        _, frame = hostile(kind, entry.n)
        return payload[:start] + frame + payload[start + entry.n :]

    return change


def another_index(archive: OpenV2, payload: bytes) -> bytes:
    """With the locator as it was."""
    where = archive._layout.locator
    at = where.index + where.size // 2
    return payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]


def all_of_it(archive: OpenV2, payload: bytes) -> bytes:
    """Another chunk, its line, index and locator: but the enemy cannot sign, and takes the signature that is there."""
    where = archive._layout.locator
    enemy, frame = hostile("sql", 600)
    entry = Entry("sql", len(frame), len(enemy), hashlib.sha256(frame).hexdigest())
    writer = PayloadWriter(archive.head.facts.created_at)
    begin = payload[BLOCK : BLOCK + archive.index.begin.n]
    signed = payload[where.payload - BLOCK :]
    assert Locator.parse(signed, where.payload).signature == 64
    at = where.index + -(-where.size // BLOCK) * BLOCK + BLOCK
    parts = [writer.begin(begin), writer.add(Packed(entry, frame)), *writer.finish(lambda _: payload[at : at + 64])]
    return b"".join(parts)


async def enemy(system: System, name: str, change: Change) -> None:
    """Change the payload of an archive, and seal it again with its own key."""
    async with system.store.open() as store:
        archive = await open_archive(store, name, PASSWORD)
        assert isinstance(archive, OpenV2)
        payload = await archive._plain(0, archive._body.payload)
        data_key = await find_data_key(archive.head, PASSWORD, KEYS)
    changed = change(archive, payload)
    sealer = Sealer(payload_key(data_key), archive.head.facts_digest)
    path = system.directory / name
    front = path.read_bytes()[: archive.head.size]
    path.write_bytes(b"".join((front, *sealer.feed(changed), *sealer.finish())))


CASES: dict[str, tuple[Change, str]] = {
    "a chunk of SQL": (another_chunk("sql"), "chunk"),
    "a chunk of secrets": (another_chunk("kv"), "chunk"),
    "the index": (another_index, "index"),
    "chunk, index and locator": (all_of_it, "signature"),
}


@pytest.mark.parametrize(("change", "layer"), CASES.values(), ids=CASES)
async def test_refused_in_a_whole_restore(system: System, change: Change, layer: str) -> None:
    """And in a verification: rows, secrets and the sequence stay as they are."""
    given: dict[str, Any] = {"database": system.postgres, "vault": system.vault, "store": system.store}
    given |= {"password": PASSWORD, "keys": KEYS}
    made = await backup(**given, format="v2")
    wreck(system)
    system.sql("CREATE SEQUENCE canary")
    await enemy(system, made.name, change)
    before = system.rows(), system.secrets()
    with pytest.raises(DamagedArchive) as checked:
        await verify(made.name, store=system.store, password=PASSWORD, keys=KEYS)
    with pytest.raises(DamagedArchive) as refused:
        await restore(made.name, **given)
    assert (checked.value.layer, refused.value.layer) == (layer, layer)
    assert (system.rows(), system.secrets()) == before
    assert system.sql("SELECT last_value, is_called FROM canary") == [(1, False)]


async def test_the_seal_is_right(system: System) -> None:
    """What the enemy seals again without a change comes back: so the cases above are refused for what was changed."""
    given: dict[str, Any] = {"database": system.postgres, "vault": system.vault, "store": system.store}
    given |= {"password": PASSWORD, "keys": KEYS}
    made = await backup(**given, format="v2")
    rows, secrets = system.rows(), system.secrets()
    before = (system.directory / made.name).read_bytes()
    await enemy(system, made.name, lambda _, payload: payload)
    assert (system.directory / made.name).read_bytes() != before
    wreck(system)
    await restore(made.name, **given)
    assert system.rows() | {"backup_jobs": []} == rows | {"backup_jobs": []}
    assert system.secrets() == secrets
