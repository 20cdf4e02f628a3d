"""The archive's inner stages: each keeps the engine's contract, and together they give back what went in."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kleidia_backup.formats.codecs.gzip import GzipDecoder, GzipEncoder
from kleidia_backup.formats.crypto.digest import Sha256
from kleidia_backup.formats.crypto.seal import Opener, Sealer
from kleidia_backup.formats.errors import DamagedArchive, PayloadError
from kleidia_backup.formats.secret import MAX_ITEM, Secret
from kleidia_backup.formats.v1.header import Header
from kleidia_backup.formats.v1.payload import PayloadWriter
from kleidia_backup.pipeline.engine import MAX_CHUNK, Inlet, Pipeline, StageFailed, drain
from kleidia_backup.pipeline.engine.testing import (
    ListSink,
    ListSource,
    Through,
    check_cancellation,
    check_chunk_size,
    check_chunking,
    check_input_failure,
    collect,
    collect_split,
)
from kleidia_backup.pipeline.engine.transform import Step, take
from kleidia_backup.stages.archive.assemble import Assemble
from kleidia_backup.stages.archive.split import Split

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])]

KEY, NONCE = bytes(range(32)), bytes(range(12))
HEADER = Header(
    created_at=datetime(2026, 1, 17, 12, tzinfo=UTC),
    backup_type="full",
    includes_db=True,
    includes_kv=True,
    includes_audit=True,
)
CHANCE = random.Random(20260117)
#: What does not compress, and what compresses a thousandfold.
NOISE = CHANCE.randbytes(2 * MAX_CHUNK + 4321)
ZEROS = bytes(3 * MAX_CHUNK + 1)

Stage = Callable[..., Awaitable[None]]
Pack = Callable[[bytes], bytes]


def gzip_members(data: bytes) -> bytes:
    return b"".join(gzip.compress(data[at : at + 9999], 1) for at in range(0, len(data), 9999))


#: Each stage of bytes to bytes, and what makes an input that it takes.
STAGES: dict[str, tuple[Callable[[], Stage], Pack]] = {
    "compress": (lambda: Through(GzipEncoder()), bytes),
    "decompress": (lambda: Through(GzipDecoder()), gzip.compress),
    "decompress members": (lambda: Through(GzipDecoder()), gzip_members),
    "seal": (lambda: Through(Sealer(KEY, NONCE)), bytes),
    "open": (lambda: Through(Opener(KEY, NONCE)), lambda data: AESGCM(KEY).encrypt(NONCE, data, None)),
    "sha256": (lambda: Through(Sha256()), bytes),
    "three steps": (lambda: Through(Sha256(), Sealer(KEY, NONCE), Sha256()), bytes),
}

#: Those whose output depends on nothing but their input.
EXACT = {name: stage for name, stage in STAGES.items() if name != "compress"}

every_stage = pytest.mark.parametrize(("make_stage", "pack"), STAGES.values(), ids=STAGES)
every_data = pytest.mark.parametrize("data", [NOISE, ZEROS], ids=["noise", "zeros"])


def chunks(data: bytes, size: int = MAX_CHUNK) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def payload(sql: bytes, secrets: list[Secret]) -> bytes:
    """A payload in one piece."""
    writer = PayloadWriter(HEADER)
    return b"".join([writer.begin(), writer.sql(sql), writer.end_sql(), writer.secrets(secrets), writer.finish()])


# The engine's contract ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make_stage", "pack"), EXACT.values(), ids=EXACT)
@every_data
async def test_any_chunking_gives_the_same(make_stage: Callable[[], Stage], pack: Pack, data: bytes) -> None:
    """How the input is cut does not show in the output."""
    assert await check_chunking(make_stage, pack(data[:200]), [1, 15, 16, 17])
    assert await check_chunking(make_stage, pack(data[:900_000]), [65_537, 400_000])


@every_data
async def test_any_chunking_compresses_to_the_same(data: bytes) -> None:
    """The compressor's blocks may depend on how its input is cut; what they hold does not."""
    for size in (65_537, MAX_CHUNK):
        assert gzip.decompress(b"".join(await collect(Through(GzipEncoder()), chunks(data, size)))) == data
    short = data[:1000]
    for size in (1, 17):
        assert gzip.decompress(b"".join(await collect(Through(GzipEncoder()), chunks(short, size)))) == short


@every_stage
@every_data
async def test_no_chunk_is_too_large(make_stage: Callable[[], Stage], pack: Pack, data: bytes) -> None:
    """Given the largest chunks, no stage sends a larger one, whether the data shrinks, grows or stays."""
    await check_chunk_size(make_stage, chunks(pack(data)))


@every_stage
async def test_a_failed_input_never_looks_like_an_end(make_stage: Callable[[], Stage], pack: Pack) -> None:
    """When the input fails after any chunk, nothing downstream sees an end, and the cause stays the input's."""
    await check_input_failure(make_stage, chunks(pack(NOISE)))


@every_stage
async def test_cancellation(make_stage: Callable[[], Stage], pack: Pack) -> None:
    """Each stage can be cancelled at every receive and send."""
    assert await check_cancellation(make_stage, chunks(pack(NOISE[:3000]), 1000)) >= 4


async def test_assemble_keeps_the_contract() -> None:
    """The assembler takes any cut of the SQL, even inside a character, and can be cancelled at every step."""
    sql = ('caf\u00e9 \U0001f600\u2028"\\\n' * 20).encode()
    secrets = [Secret(f"a/{n}", b'{"n":%d}' % n) for n in range(3)]
    for size in (1, 2, 3, 7, 1000):
        assert b"".join(await collect(Assemble(HEADER), chunks(sql, size), secrets)) == payload(sql, secrets)
    assert await check_cancellation(lambda: Assemble(HEADER), chunks(sql, 100), secrets) > 8


async def test_split_keeps_the_contract() -> None:
    """The splitter takes any cut of the payload, and can be cancelled at every step."""
    sql = ('caf\u00e9 \U0001f600\u2028"\\\n' * 20).encode()
    secrets = [Secret(f"a/{n}", b'{"n":%d}' % n) for n in range(3)]
    whole = payload(sql, secrets)
    for size in (1, 2, 3, 7, 1000):
        texts, found = await collect_split(Split(), chunks(whole, size))
        assert b"".join(texts) == sql
        assert found == secrets
    assert await check_cancellation(Split, chunks(whole, 100), outlets=2) > 8


# Chunk sizes ----------------------------------------------------------------------------------------------------


async def test_sql_that_expands_six_times() -> None:
    """A chunk of control characters becomes six times as long as JSON, and goes on in chunks that an edge takes."""
    sql = b"\x01" * MAX_CHUNK
    sent = await collect(Assemble(HEADER), [sql], [])
    assert max(map(len, sent)) == MAX_CHUNK
    assert sum(map(len, sent)) > 6 * MAX_CHUNK
    assert json.loads(b"".join(sent))["database_sql"].encode() == sql


async def test_large_and_many_secrets() -> None:
    """Secrets larger than a chunk, and so many that they fill chunks, go on in chunks that an edge takes."""
    large = Secret("large", b'"' + b"x" * (3 * MAX_CHUNK) + b'"')
    many = [Secret(f"many/{n}", b'{"v":"%b"}' % (b"y" * 1000)) for n in range(2000)]
    sent = await collect(Assemble(HEADER), [], [large, *many, large])
    assert max(map(len, sent)) <= MAX_CHUNK
    assert b"".join(sent) == payload(b"", [large, *many, large])
    texts, found = await collect_split(Split(), sent)
    assert b"".join(texts) == b""
    assert found == [large, *many, large]

    together: list[Sequence[Secret]] = []

    async def keep(secrets: Inlet[Secret]) -> None:
        while batch := await secrets.batch():
            together.append(batch)

    pipeline = Pipeline()
    source = pipeline.source(ListSource(sent), name="source")
    sql, secrets = pipeline.split(Split(), source, max_items=(MAX_CHUNK, MAX_ITEM))
    pipeline.sink(drain, sql)
    pipeline.sink(keep, secrets)
    await pipeline.run()
    assert [secret for batch in together for secret in batch] == found
    assert secrets.items == len(found)
    assert all(len(batch) == 1 or sum(secret.nbytes for secret in batch) <= MAX_CHUNK / 4 for batch in together)
    assert len(together) < len(found) / 20


class Spy:
    """A transform that notes the sizes of what it is given."""

    name = "spy"

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def feed(self, data: bytes) -> list[bytes]:
        self.sizes.append(len(data))
        return [data]

    def finish(self) -> list[bytes]:
        return []


async def test_transforms_are_given_no_more_than_a_chunk() -> None:
    """However large a secret is, or what a chunk of SQL becomes as JSON: each holds what it makes of a piece."""
    spy = Spy()
    large = Secret("large", b'"' + b"x" * (3 * MAX_CHUNK) + b'"')
    pipeline = Pipeline()
    sql, secrets = (
        pipeline.source(ListSource([b"\x01" * MAX_CHUNK])),
        pipeline.source(ListSource([large]), max_item=MAX_ITEM),
    )
    pipeline.sink(drain, pipeline.pipe(Assemble(HEADER), sql, secrets).through(spy))
    await pipeline.run()
    assert max(spy.sizes) == MAX_CHUNK
    assert sum(spy.sizes) > 9 * MAX_CHUNK


async def test_a_hop_ends_though_nothing_comes_out() -> None:
    """A thousand members that hold nothing: the thread comes back in between, so that the stage can be cancelled."""
    ready = Step(GzipDecoder()).feed((gzip.compress(b"") * 1000,))
    hops = 1
    while take(ready, MAX_CHUNK, bytes) == ([], True):
        hops += 1
    assert hops == 4


CUT = [("\\", "n"), ("\\u00", "41"), ("\\ud83d", "\\ude00"), ("\\ud83d\\ude0", "0"), ("\\ud83d\\", "ude00")]
CUT_BYTES = [(b"\xc3", b"\xa9"), (b"\xe2\x82", b"\xac"), (b"\xf0\x9f\x98", b"\x80")]


@pytest.mark.parametrize(("left", "right"), [*((a.encode(), b.encode()) for a, b in CUT), *CUT_BYTES])
async def test_sql_that_a_chunk_cuts(left: bytes, right: bytes) -> None:
    """What is cut at the end of one chunk comes with the next piece, which is still no larger than an edge takes."""
    start = b'{"database_sql":"'
    first = start + b"x" * (MAX_CHUNK - len(start) - len(left)) + left
    second = right + b"y" * (MAX_CHUNK - len(right))
    texts, _ = await collect_split(Split(), [first, second, b'"}'])
    assert max(map(len, texts)) <= MAX_CHUNK
    assert b"".join(texts).decode() == json.loads(first + second + b'"}')["database_sql"]


async def test_decompress_is_bounded() -> None:
    """One small chunk that holds megabytes comes out a chunk at a time."""
    sent = await collect(Through(GzipDecoder()), [gzip.compress(ZEROS)])
    assert [len(chunk) for chunk in sent] == [MAX_CHUNK, MAX_CHUNK, MAX_CHUNK, 1]


# What they refuse -----------------------------------------------------------------------------------------------


async def test_another_checksum() -> None:
    """The hash stage passes everything on, and then says that the checksum is another."""
    with pytest.raises(DamagedArchive) as caught:
        await collect(Through(Sha256(expect="0" * 64)), [b"data"])
    assert caught.value.layer == "checksum"


async def test_the_hash_is_final_at_the_end() -> None:
    """The digest is that of everything that passed."""
    step = Sha256()
    assert b"".join(await collect(Through(step), chunks(NOISE))) == NOISE
    assert step.hexdigest == hashlib.sha256(NOISE).hexdigest()


@pytest.mark.parametrize("sealed", [b"", b"short", AESGCM(KEY).encrypt(NONCE, b"x", None)[:-1] + b"?"])
async def test_another_tag(sealed: bytes) -> None:
    """A ciphertext that does not fit its tag, or has none, fails at its end."""
    with pytest.raises(DamagedArchive) as caught:
        await collect(Through(Opener(KEY, NONCE)), [sealed] if sealed else [])
    assert caught.value.layer == "seal"


@pytest.mark.parametrize(
    "packed",
    [b"", b"no gzip", gzip.compress(b"x")[:-1], gzip.compress(b"x") + b"\0"],
    ids=["nothing", "other", "cut", "followed"],
)
async def test_no_gzip(packed: bytes) -> None:
    """What is no gzip stream, or not all of one, or more than one, is refused."""
    with pytest.raises(DamagedArchive) as caught:
        await collect(Through(GzipDecoder()), [packed] if packed else [])
    assert caught.value.layer == "gzip"


async def test_a_payload_that_ends_early() -> None:
    """A payload without its last brace is refused, and neither reader sees an end."""
    pipeline = Pipeline()
    whole = payload(b"SELECT 1;", [Secret("a", b"1")])
    sql, secrets = pipeline.split(Split(), pipeline.source(ListSource([whole[:-1]])))
    left: ListSink[bytes] = ListSink()
    right: ListSink[Secret] = ListSink()
    pipeline.sink(left, sql)
    pipeline.sink(right, secrets)
    with pytest.raises(StageFailed) as caught:
        await pipeline.run()
    assert "ends early" in str(caught.value.cause)
    assert not left.ended
    assert not right.ended


async def test_sql_that_is_not_utf8() -> None:
    """The assembler refuses it, also when it is cut off at the end of the dump."""
    for sql in (b"caf\xe9 au lait", b"caf\xc3"):
        with pytest.raises(PayloadError, match="UTF-8"):
            await collect(Assemble(HEADER), [sql], [])


async def test_the_inner_header_is_checked_before_anything_goes_on() -> None:
    """A check that refuses the inner header ends the split before it sent a secret, or looked at a byte of SQL."""
    error = DamagedArchive("header", "no")

    seen: list[bytes] = []

    def refuse(inner: dict[str, object]) -> None:
        assert inner["backup_type"] == "full"
        raise error

    pipeline = Pipeline()
    source = pipeline.source(ListSource([payload(b"SELECT 1;", [Secret("a", b"1")])]))
    sql, secrets = pipeline.split(Split(check_header=refuse, look=seen.append), source)
    left: ListSink[bytes] = ListSink()
    right: ListSink[Secret] = ListSink()
    pipeline.sink(left, sql)
    pipeline.sink(right, secrets)
    with pytest.raises(StageFailed) as caught:
        await pipeline.run()
    assert caught.value.cause is error
    assert seen == []
    assert left.items == []
    assert right.items == []


# Together -------------------------------------------------------------------------------------------------------


def sql_texts() -> dict[str, bytes]:
    """Dumps of about two chunks each."""
    characters = "\x01\x7f\"\\/\n\t'$ \u00e9\u20ac\u2028\U0001f600\U0010ffff\uffff\ufeffabc"
    return {
        "none": b"",
        "incompressible": NOISE.hex().encode()[: 2 * MAX_CHUNK + 99],
        "compressible": b"INSERT INTO t VALUES (1);\n" * 90_000,
        "characters": "".join(CHANCE.choices(characters, k=700_000)).encode(),
        "control characters": b"\x1f" * 400_000,
    }


@pytest.mark.parametrize("sql", sql_texts().values(), ids=sql_texts())
async def test_there_and_back(sql: bytes) -> None:
    """What a backup's stages make of SQL and secrets, others can read, and a restore's stages give back."""
    secrets = [Secret(f'path/{n}/\u00e9"\\', json.dumps({"v": NOISE[n : n * 50].hex()}).encode()) for n in range(60)]
    secrets += [Secret("/", b"null"), Secret("number", b"[1e400, -0, 18446744073709551616]")]
    hashed = Sha256()

    forth = Pipeline()
    inputs = forth.source(ListSource(chunks(sql, 99_999))), forth.source(ListSource(secrets))
    sink: ListSink[bytes] = ListSink()
    assembled = forth.pipe(Assemble(HEADER), *inputs)
    forth.sink(sink, assembled.through(GzipEncoder(), Sealer(KEY, NONCE), hashed))
    await forth.run()
    ciphertext = b"".join(sink.items)
    assert hashed.hexdigest == hashlib.sha256(ciphertext).hexdigest()

    document: dict[str, Any] = json.loads(gzip.decompress(AESGCM(KEY).decrypt(NONCE, ciphertext, None)))
    assert list(document) == ["header", "database_sql", "vault_secrets"]
    assert document["database_sql"].encode() == sql
    assert list(document["vault_secrets"]) == [secret.path for secret in secrets]

    back = Pipeline()
    seen: list[bytes] = []
    headers: list[dict[str, object]] = []
    transforms = Sha256(expect=hashed.hexdigest), Opener(KEY, NONCE), GzipDecoder()
    split = Split(check_header=headers.append, look=seen.append)
    left: ListSink[bytes] = ListSink()
    right: ListSink[Secret] = ListSink()
    texts, found = back.split(split, back.source(ListSource(chunks(ciphertext, 77_777))).through(*transforms))
    back.sink(left, texts)
    back.sink(right, found)
    await back.run()
    assert b"".join(left.items) == b"".join(seen) == sql
    assert right.items == secrets
    assert headers == [document["header"]]
