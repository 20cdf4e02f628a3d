"""The test vectors: each is read as SPEC.md says, by the pipelines that read archives, and they are what is written."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from kleidia_backup.formats.codecs.gzip import GzipDecoder
from kleidia_backup.formats.crypto.seal import Opener, derive_key
from kleidia_backup.formats.errors import ArchiveError, DamagedArchive, NotAnArchive, UnsupportedArchive, WrongPassword
from kleidia_backup.formats.facts import Facts
from kleidia_backup.formats.secret import Secret
from kleidia_backup.formats.sql.pieces import Text
from kleidia_backup.formats.v1.header import Preamble
from kleidia_backup.formats.v1.payload_reader import PayloadReader
from kleidia_backup.pipeline.archives.opening import open_archive
from kleidia_backup.pipeline.archives.v1 import OpenV1, explain
from kleidia_backup.pipeline.engine import Pipeline
from kleidia_backup.pipeline.engine.testing import ListSink
from kleidia_backup.pipeline.job import Job
from kleidia_backup.pipeline.verify import verify
from kleidia_backup.stages.archive.fingerprint import Fingerprint, Remember
from kleidia_backup.stages.stores.base import ObjectInfo
from kleidia_backup.stages.stores.directory.store import DirectorySettings, DirectoryStore

HERE = Path(__file__).parent
STORE = DirectorySettings(HERE / "vectors")
VECTORS: list[dict[str, Any]] = json.loads((HERE / "vectors" / "vectors.json").read_text())
MIB = 1024 * 1024


@dataclass
class Reading:
    """What came out of an archive, as far as it was read."""

    sql: ListSink[Text] = field(default_factory=ListSink)
    secrets: ListSink[Secret] = field(default_factory=ListSink)
    header: Facts | None = None


def layer_of(error: ArchiveError) -> str:
    """The layer, in the words of SPEC.md, at which an archive was refused."""
    match error:
        case NotAnArchive() | UnsupportedArchive():
            return "magic"
        case WrongPassword():
            return "password"
        case DamagedArchive():
            return error.layer
    raise AssertionError(f"no error of a reader: {error!r}")


class SlowStore(DirectoryStore):
    """A store that sends a few bytes at a time, so that a reader meets the faults of an archive one by one."""

    @asynccontextmanager
    async def get(
        self, name: str, *, start: int = 0, end: int | None = None, pin: ObjectInfo | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        async def slices(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
            async for chunk in chunks:
                size = max(100, len(chunk) // 10)
                for at in range(0, len(chunk), size):
                    yield chunk[at : at + size]

        async with super().get(name, start=start, end=end, pin=pin) as chunks, aclosing(slices(chunks)) as sliced:
            yield sliced


#: What the header denies is refused by those who count what came out, not by the stages that ``read`` wires.
COUNTED = {"payload-sql-denied.enc", "payload-secrets-denied.enc"}


async def read(vector: dict[str, Any], reading: Reading) -> None:
    """Read an archive through every stage of a verification and a restore, up to their sinks."""
    job = Job(None, None)
    archive = await open_archive(SlowStore(STORE), vector["file"], vector["password"])
    reading.header = archive.header
    pipeline = Pipeline()
    assert isinstance(archive, OpenV1)
    wired, _ = archive._wire(pipeline, Remember(Fingerprint()), None)
    pipeline.sink(reading.sql, wired.sql, name="sql")
    pipeline.sink(reading.secrets, wired.secrets, name="secrets")
    try:
        await job.run(pipeline)
    except DamagedArchive as exc:
        raise await explain(job, archive, exc) from None


ALL = [pytest.param(vector, id=vector["file"]) for vector in VECTORS if vector["file"] not in COUNTED]


@pytest.mark.parametrize("vector", ALL)
@pytest.mark.anyio
async def test_vector(vector: dict[str, Any]) -> None:
    """What must be read is read to the last byte; else the right layer fails, and neither sink sees an end."""
    reading = Reading()
    if vector["expect"] == "ok":
        await read(vector, reading)
        assert reading.header is not None
        check_header(reading.header, vector["header"])
        check_content(reading.sql.items, reading.secrets.items, vector)
        assert reading.sql.ended
        assert reading.secrets.ended
    else:
        with pytest.raises(ArchiveError) as caught:
            await read(vector, reading)
        assert layer_of(caught.value) == vector["expect"], caught.value
        assert not reading.sql.ended
        assert not reading.secrets.ended


@pytest.mark.anyio
async def test_verify() -> None:
    """The public ``verify`` says the same of every vector."""
    wrong: dict[str, str] = {}
    for vector in VECTORS:
        verification = verify(vector["file"], store=STORE, password=vector["password"])
        if vector["expect"] == "ok":
            report = await verification
            assert report.secrets == len(vector["secrets_sha256"]), vector
            check_header(report.header, vector["header"])
            continue
        try:
            await verification
            layer = "ok"
        except ArchiveError as exc:
            layer = layer_of(exc)
        if layer != vector["expect"]:
            wrong[vector["file"]] = layer
    assert wrong == {}


@pytest.mark.parametrize("size", [1, 13, MIB])
def test_pieces(size: int) -> None:
    """The formats alone say the same, however an archive is cut into pieces."""
    for vector in VECTORS:
        data = (HERE / "vectors" / vector["file"]).read_bytes()
        large = len(data) > 3000 or "limit" in vector
        inside = vector["expect"] in ("ok", "gzip", "payload") and vector["file"] not in COUNTED
        if not inside or (large and size < MIB):
            continue
        sql: list[bytes] = []
        secrets: list[Secret] = []
        if vector["expect"] == "ok":
            read_pieces(data, vector["password"], size, sql, secrets)
            check_content(sql, secrets, vector)
        else:
            with pytest.raises(DamagedArchive) as caught:
                read_pieces(data, vector["password"], size, sql, secrets)
            assert caught.value.layer == vector["expect"], vector


def read_pieces(data: bytes, password: str, size: int, sql: list[bytes], secrets: list[Secret]) -> None:
    """Open, decompress and parse an archive in pieces of ``size`` bytes."""
    preamble = Preamble.parse(data)
    opener = Opener(derive_key(password, preamble.salt), preamble.nonce)
    decoder = GzipDecoder()
    reader = PayloadReader()
    for at in range(preamble.size, len(data), size):
        for plain in (plain for piece in opener.feed(data[at : at + size]) for plain in decoder.feed(piece)):
            for start in range(0, len(plain), size):
                parts = reader.update(plain[start : start + size])
                sql += parts.sql
                secrets += parts.secrets
    opener.finish()
    decoder.finish()
    reader.finish()


def check_header(header: Facts, expected: dict[str, Any]) -> None:
    """The clear-text header is what the vector says; a time may lose what datetime cannot hold."""
    found = {name: getattr(header, name) for name in expected}
    created = expected["created_at"].replace(":60Z", ":59Z")
    assert found == {**expected, "created_at": datetime.fromisoformat(created)}


def check_content(sql: Sequence[Text], secrets: list[Secret], vector: dict[str, Any]) -> None:
    """The SQL and every secret's value have the right hash, and each path came once."""
    assert hashlib.sha256(b"".join(text for text in sql if isinstance(text, bytes))).hexdigest() == vector["sql_sha256"]
    assert len(secrets) == len(vector["secrets_sha256"])
    assert {s.path: hashlib.sha256(s.value).hexdigest() for s in secrets} == vector["secrets_sha256"]


@pytest.mark.parametrize("name", ["ok-bomb-string.enc", "ok-bomb-inner-string.enc", "ok-bomb-white-space.enc"])
@pytest.mark.anyio
async def test_memory_stays_flat(name: str) -> None:
    """A small archive that decompresses to many megabytes of what nobody needs takes no memory for them."""
    [vector] = [vector for vector in VECTORS if vector["file"] == name]
    await verify(name, store=STORE, password=vector["password"])
    tracemalloc.start()
    try:
        await verify(name, store=STORE, password=vector["password"])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * MIB


def test_the_vectors_are_what_the_generator_writes(tmp_path: Path) -> None:
    """The second writer, alone and without this package, writes every file and ``vectors.json`` as they are here."""
    command = [sys.executable, "-m", "tests.formats.make_vectors", str(tmp_path)]
    subprocess.run(command, cwd=HERE.parent.parent, check=True, timeout=60)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_bytes() for path in (HERE / "vectors").iterdir()}
    assert made.keys() == kept.keys()
    assert [name for name in made if made[name] != kept[name]] == []


def test_the_vectors_are_small() -> None:
    """They are a few hundred kilobytes together, one file per fault, with a name that says which."""
    assert sum(path.stat().st_size for path in (HERE / "vectors").iterdir()) < 300_000
    files = {path.name for path in (HERE / "vectors").glob("*.enc")}
    assert files == {vector["file"] for vector in VECTORS}
    assert all(vector["comment"] and vector["file"].startswith(vector["expect"] + "-") for vector in VECTORS)
