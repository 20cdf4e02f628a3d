"""Archives of format V2 that were cut, spliced or made by an enemy who has the key: refused before they are used."""

from __future__ import annotations

import hashlib
import json
import os
import random
from itertools import accumulate
from typing import cast

import pytest
import zstandard

from kleidia_backup.formats.errors import ArchiveError, DamagedArchive, UnsupportedArchive
from kleidia_backup.formats.v2.body import PLAIN
from kleidia_backup.formats.v2.floe import HEADER, SEGMENT
from kleidia_backup.formats.v2.frames import Packed
from kleidia_backup.formats.v2.payload import PayloadWriter
from kleidia_backup.formats.v2.tar import BLOCK, padded
from kleidia_backup.pipeline.archives.opening import open_archive
from kleidia_backup.pipeline.job import Job
from kleidia_backup.stages.stores.base import ObjectStore

from .chances import chances
from .v2_archives import COPY, HEAD, TIME, MemoryStore, Seen, packed, payload, read, rows, sealed
from .v2_heads import PASSWORD

pytestmark = pytest.mark.anyio

KV = packed("kv", b'{"path":"a","value":{"b":1}}\n', secrets=1)
SQL = packed("sql", b"SELECT 1;\n")
SMALL = [SQL, rows(b"1\n2\n"), packed("sql", b"SELECT 2;\n"), KV]
SCRIPT = b"SELECT 1;\n" + COPY + b"\n1\n2\n\\.\nSELECT 2;\n"
#: Chunks of a segment and more, that nothing makes smaller.
_RANDOM = random.Random(1)
LARGE = [SQL, *(rows(_RANDOM.randbytes(150_000).hex().encode() + b"\n") for _ in range(9)), KV]


async def refused(data: bytes, layers: set[str], whole: bytes = b"") -> None:
    """It is damage of one of these layers; what came out is the beginning of what is right, and no end came."""
    seen = Seen()
    with pytest.raises(DamagedArchive) as caught:
        await read(data, seen)
    assert caught.value.layer in layers
    assert not seen.secrets_ended
    assert whole.startswith(b"".join(seen.sql))
    assert not seen.secrets


async def test_a_good_one() -> None:
    """What the others are made from."""
    seen = Seen()
    await read(sealed(payload(SMALL)), seen)
    assert b"".join(seen.sql) == SCRIPT
    assert [secret.path for secret in seen.secrets] == ["a"]
    assert (seen.sql_ended, seen.secrets_ended) == (True, True)


def places(chunks: list[Packed]) -> list[int]:
    """Where members, their contents and their paddings begin in the payload."""
    sizes = [size for one in chunks for size in (BLOCK, one.entry.n, padded(one.entry.n) - one.entry.n)]
    return list(accumulate(sizes, initial=BLOCK + BLOCK))


async def test_cut_anywhere() -> None:
    """At the end of every segment, chunk and block of the tar, and a byte before and behind: nothing is used."""
    plain = payload(LARGE)
    data = sealed(plain)
    start = len(HEAD) + HEADER
    ends = {0, 17, 21, len(HEAD), start, *range(start, len(data), SEGMENT)}
    ends |= {start + at // PLAIN * SEGMENT + 24 + at % PLAIN for at in places(LARGE)}
    for end in sorted({max(0, at + by) for at in ends for by in (-1, 0, 1)}):
        seen = Seen()
        with pytest.raises(ArchiveError):
            await read(data[:end], seen)
        assert seen == Seen()
    for more in (b"\0", bytes(SEGMENT), data[-SEGMENT:]):
        await refused(data + more, {"seal"})


async def test_segments_of_another_place_or_archive() -> None:
    """Swapped, doubled, dropped, and those of an archive with the same key and facts."""
    data, other = sealed(payload(LARGE)), sealed(payload(LARGE))
    start = len(HEAD) + HEADER
    one, two = ([each[at : at + SEGMENT] for at in range(start, len(each), SEGMENT)] for each in (data, other))
    assert len(one) > 4
    script = b"".join([b"SELECT 1;\n", COPY, b"\n", *(chunk_rows(chunk) for chunk in LARGE[1:-1]), b"\\.\n"])
    front, spliced = data[:start], other[:start]
    for at in range(len(one) - 1):
        await refused(front + b"".join([*one[:at], one[at + 1], *one[at + 1 :]]), {"seal"}, script)
        await refused(front + b"".join([*one[:at], *one[at + 1 :]]), {"seal"}, script)
        await refused(front + b"".join([*one[:at], one[at], *one[at:]]), {"seal"}, script)
        await refused(front + b"".join([*one[:at], two[at], *one[at + 1 :]]), {"seal"}, script)
    await refused(front + b"".join([*one[:-1], two[-1]]), {"seal"})
    await refused(spliced + b"".join(one), {"seal"})


def chunk_rows(chunk: Packed) -> bytes:
    data = zstandard.decompress(chunk.stored)
    return data[chunk.entry.head : len(data) - chunk.entry.tail]


async def test_chunks_of_another_place_or_archive() -> None:
    """By whoever has the key: members swapped, doubled, dropped, taken from another archive; another index."""
    first, second = rows(b"1\n2\n"), rows(b"3\n4\n")
    assert first.entry.n == second.entry.n
    good, other = payload([SQL, first, KV]), payload([SQL, second, KV])
    begin, end = 4 * BLOCK, 6 * BLOCK  # the rows
    member = slice(begin, end)
    await refused(sealed(good[:begin] + other[member] + good[end:]), {"chunk"}, SCRIPT)
    await refused(sealed(good[:begin] + good[end : end + 1024] + good[begin:end] + good[end + 1024 :]), {"tar"}, SCRIPT)
    await refused(sealed(good[:begin] + good[member] + good[begin:]), {"index"})
    await refused(sealed(good[:begin] + good[end:]), {"index"})
    index = 8 * BLOCK
    assert good[index : index + 10] == b"meta/index"
    await refused(sealed(good[:index] + other[index:]), {"chunk"}, SCRIPT)
    await refused(sealed(good[:-BLOCK] + other[-BLOCK:]), {"index"})


HEADERS = {
    "a link": (156, b"2"),
    "a device": (156, b"3"),
    "an absolute name": (0, b"/b/000"),
    "a name that climbs": (0, b"../000"),
    "a mode": (100, b"0000777"),
    "an owner": (108, b"0000001"),
    "a size": (124, b"00000000001"),
    "a time": (136, b"00000000001"),
    "a link's name": (157, b"/etc/passwd"),
    "a prefix": (345, b"/etc"),
    "a checksum": (148, b"000000"),
    "a user": (265, b"root"),
    "the rest": (511, b"x"),
}


@pytest.mark.parametrize(("at", "text"), HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("member", [2, 4, 10])
async def test_headers_of_the_tar(at: int, text: bytes, member: int) -> None:
    """Of SQL, of rows and of the index: each is compared byte for byte."""
    plain = bytearray(payload(SMALL))
    place = member * BLOCK + at
    plain[place : place + len(text)] = text
    await refused(sealed(bytes(plain)), {"tar"}, SCRIPT)


@pytest.mark.parametrize("size", [0, 1, 511, 512, 1024, 10_240])
async def test_payloads_that_are_none(size: int) -> None:
    """Of any size, and of an index that begins where nothing is."""
    await refused(sealed(bytes(size)), {"index"})


async def test_padding() -> None:
    """Hides nothing."""
    good = payload(SMALL)
    for at in (5 * BLOCK - 1, len(good) - BLOCK - 1):
        plain = bytearray(good)
        plain[at] = 1
        await refused(sealed(bytes(plain)), {"tar"}, SCRIPT)


def frame(data: bytes, **parameters: int) -> bytes:
    made = zstandard.ZstdCompressionParameters(**parameters)
    return zstandard.ZstdCompressor(compression_params=made).compress(data)


_DATA = b"SELECT 1;\n"
_GOOD = frame(_DATA)
FRAMES = {
    "two frames": frame(_DATA[:5]) + frame(_DATA[5:]),
    "the same twice": _GOOD + _GOOD,
    "more": _GOOD + b"\0",
    "an empty one behind": _GOOD + frame(b""),
    "a skippable one behind": _GOOD + b"\x50\x2a\x4d\x18\x02\0\0\0ab",
    "a skippable one": b"\x50\x2a\x4d\x18\x0a\0\0\0" + _DATA,
    "a skippable one before": b"\x50\x2a\x4d\x18\x0a\0\0\0" + _DATA + _GOOD,
    "no size": frame(_DATA, write_content_size=0),
    "a bomb": frame(bytes(2**28)),
    "fewer": frame(_DATA[1:]),
    "cut": _GOOD[:-1],
    "no zstd": _DATA,
    "a dictionary": b"\x28\xb5\x2f\xfd" + bytes([_GOOD[4] | 1]) + b"\x07" + _GOOD[5:],
    "another checksum": frame(_DATA, write_checksum=1)[:-1] + b"\0",
}


@pytest.mark.parametrize("stored", FRAMES.values(), ids=FRAMES)
async def test_frames(stored: bytes) -> None:
    """One, with the size that the index says; a bomb is not decompressed."""
    await refused(sealed(payload([packed("sql", _DATA, stored), KV])), {"zstd"})


async def test_a_frame_with_a_checksum() -> None:
    """Is one as well."""
    seen = Seen()
    await read(sealed(payload([packed("sql", _DATA, frame(_DATA, write_checksum=1)), KV])), seen)
    assert seen.sql == [_DATA]


CONTENTS = {
    "SQL behind rows": [rows(b"1\n\\.\nDROP TABLE t;\n")],
    "an end with CR": [rows(b"1\n\\.\r\nDROP TABLE t;\n")],
    "no end of row": [rows(b"1\n2")],
    "more rows": [rows(b"1\n", rows=2)],
    "another COPY": [packed("rows", b"COPY u (a) FROM stdin;\n1\n\\.\n", t=0, rows=1, head=23, tail=3)],
    "another end": [packed("rows", COPY + b"\n1\n\\,\n", t=0, rows=1, head=23, tail=3)],
    "rows in SQL": [packed("sql", COPY + b"\n1\n\\.\n")],
    "an open COPY": [packed("sql", COPY + b"\n"), rows(b"1\n")],
    "an open statement": [packed("sql", b"SELECT '"), rows(b"1\n")],
    "secrets as rows": [rows(b"1\n"), packed("kv", b'{"path":"a"}\n', secrets=1)],
    "more secrets": [packed("kv", b'{"path":"a","value":{}}\n', secrets=2)],
    "fewer secrets": [packed("kv", b'{"path":"a","value":{}}\n' * 2, secrets=1)],
    "no end of line": [packed("kv", b'{"path":"a","value":{}}', secrets=1)],
}


@pytest.mark.parametrize("chunks", CONTENTS.values(), ids=CONTENTS)
async def test_contents(chunks: list[Packed]) -> None:
    """Made by whoever has the key: what a chunk holds is what the index says of it."""
    await refused(sealed(payload(chunks)), {"payload"}, b"".join((COPY, b"\n1\n\\.\n")))


@pytest.mark.parametrize("written", [b"1\n2\n", b"2\n1\n", b""])
async def test_the_digest_of_the_rows(written: bytes) -> None:
    """Of a COPY in two chunks: a verification compares it; a restore, which has compared the chunks, need not."""
    chunks = [packed("sql", b"SELECT 1;\n"), rows(b"1\n"), rows(b"2\n", digest=hashlib.sha256(written).hexdigest())]
    store = cast("ObjectStore", MemoryStore(sealed(payload(chunks))))
    archive = await open_archive(store, "backup-1", PASSWORD)
    if written == b"1\n2\n":
        assert (await archive.verify(Job(None, None))).rows == 2
        return
    with pytest.raises(DamagedArchive) as caught:
        await archive.verify(Job(None, None))
    assert caught.value.layer == "payload"


async def test_the_magic_of_the_other_format() -> None:
    """On a body of this one, and the reverse."""
    data = bytearray(sealed(payload(SMALL)))
    data[16:17] = b"1"
    with pytest.raises(ArchiveError):
        await read(bytes(data), Seen())
    header = json.dumps({"version": 1, "created_at": "2026-01-17T12:00:00Z"}).encode()
    v1 = b"KLEIDIA_BACKUP_V2" + len(header).to_bytes(4, "big") + header + os.urandom(20_000)
    with pytest.raises(UnsupportedArchive):
        await read(v1, Seen())


async def test_a_signature_of_nobody() -> None:
    """The facts name no signer."""
    writer = PayloadWriter(TIME)
    parts = [writer.begin(b"{}"), *map(writer.add, SMALL), *writer.finish(lambda _: bytes(64))]
    await refused(sealed(b"".join(parts)), {"signature"})


async def changed_once(data: bytes, at: int, to: int) -> None:
    """One byte is another: refused in a way that is documented, or the same."""
    changed = data[:at] + bytes([to]) + data[at + 1 :]
    seen = Seen()
    try:
        await read(changed, seen)
    except ArchiveError:
        assert not seen.secrets_ended
        return
    assert (b"".join(seen.sql), len(seen.secrets)) == (SCRIPT, 1)


@pytest.mark.timeout(3600)
async def test_any_byte_changed() -> None:
    """At the same places in every run, or at others for KLEIDIA_TEST_FUZZ_SECONDS; never another meaning."""
    data = sealed(payload(SMALL))
    for chance in chances(3000):
        at = chance.randrange(len(data))
        await changed_once(data, at, data[at] ^ (1 << chance.randrange(8)))


@pytest.mark.timeout(3600)
async def test_any_byte_of_the_payload_changed() -> None:
    """By whoever has the key: what can still be read says one and the same."""
    plain = payload(SMALL)
    for chance in chances(3000):
        at = chance.randrange(len(plain))
        changed = plain[:at] + bytes([plain[at] ^ (1 << chance.randrange(8))]) + plain[at + 1 :]
        await changed_once(sealed(changed), 0, ord("K"))
