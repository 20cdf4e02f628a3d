"""Whole archives of format V2 for tests, by whoever has the key, and a store in memory to read them from."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from kleidia_backup.formats.secret import Secret
from kleidia_backup.formats.sql.pieces import Rows
from kleidia_backup.formats.v2.chunks import Chunk
from kleidia_backup.formats.v2.entries import Entry
from kleidia_backup.formats.v2.floe import Sealer
from kleidia_backup.formats.v2.frames import Compress, Packed
from kleidia_backup.formats.v2.head import payload_key
from kleidia_backup.formats.v2.payload import PayloadWriter
from kleidia_backup.pipeline.archives.opening import open_archive
from kleidia_backup.pipeline.engine import Inlet, Pipeline, StageFailed
from kleidia_backup.stages.stores.base import ObjectInfo, ObjectStore

from .v2_heads import DATA_KEY, PASSWORD, digest, facts, head, password, slots

TIME = datetime(2026, 1, 17, 12, tzinfo=UTC)
FACTS = facts()
HEAD = head(FACTS, slots(password(FACTS).members()))
COPY = b"COPY t (a) FROM stdin;"


def packed(
    kind: str, data: bytes, stored: bytes | None = None, copy: bytes = COPY, digest: str = "", **members: Any
) -> Packed:
    """A chunk, as stored if that is given; ``digest`` is that of the rows of its COPY."""
    if stored is None:
        stored = Compress.__call__(Compress(), Chunk(cast("Any", kind), data)).stored
    entry = Entry(cast("Any", kind), len(stored), len(data), hashlib.sha256(stored).hexdigest(), **members)
    return Packed(entry, stored, copy if kind == "rows" else b"", digest)


def rows(content: bytes, *, table: int = 0, stored: bytes | None = None, **members: Any) -> Packed:
    """A whole COPY statement."""
    data = COPY + b"\n" + content + b"\\.\n"
    given = {"t": table, "rows": content.count(b"\n"), "head": len(COPY) + 1, "tail": 3} | members
    return packed("rows", data, stored, **given)


def payload(chunks: Iterable[Packed], begin: bytes = b"{}") -> bytes:
    """By the package's writer."""
    writer = PayloadWriter(TIME)
    return b"".join((writer.begin(begin), *map(writer.add, chunks), *writer.finish()))


def sealed(plain: bytes, front: bytes = HEAD, raw_facts: bytes = FACTS) -> bytes:
    """An archive of any payload."""
    sealer = Sealer(payload_key(DATA_KEY), digest(raw_facts))
    return b"".join((front, *sealer.feed(plain), *sealer.finish()))


class MemoryStore:
    """One object."""

    prefix = ""

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def head(self, name: str) -> ObjectInfo:
        """What it is."""
        return ObjectInfo(name, len(self.data), TIME, "tag")

    @asynccontextmanager
    async def get(self, _: str, *, start: int, end: int, pin: ObjectInfo) -> AsyncIterator[AsyncIterator[bytes]]:
        """Its bytes."""

        async def chunks() -> AsyncIterator[bytes]:
            for at in range(start, end, 100_000):
                yield self.data[at : min(end, at + 100_000)]

        yield chunks()


@dataclass
class Seen:
    """What came out of a reading, and whether its ends did."""

    sql: list[bytes] = field(default_factory=list)
    secrets: list[Secret] = field(default_factory=list)
    sql_ended: bool = False
    secrets_ended: bool = False


async def read(data: bytes, seen: Seen) -> None:
    """As a restore reads it. Raises what the archive is refused with."""
    store = cast("ObjectStore", MemoryStore(data))
    archive = await open_archive(store, "backup-1", PASSWORD)
    pipeline = Pipeline()
    reading = archive.wire(pipeline, cast("Any", None))

    async def sql(inlet: Inlet[Any]) -> None:
        async for text in inlet:
            seen.sql.append(text.data if isinstance(text, Rows) else bytes(text))
        seen.sql_ended = True

    async def secrets(inlet: Inlet[Secret]) -> None:
        async for secret in inlet:
            seen.secrets.append(secret)
        seen.secrets_ended = True

    pipeline.sink(sql, reading.sql)
    pipeline.sink(secrets, reading.secrets)
    try:
        await pipeline.run(_ignore)
    except StageFailed as failed:
        raise failed.cause from None


_ignore: Callable[[Any], None] = lambda _: None  # noqa: E731
