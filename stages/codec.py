"""The archive's inner stages: each moves chunks through one object of ``formats``, in a thread.

They run on asyncio and trio, and know neither files nor servers.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ..formats.errors import DamagedArchive
from ..formats.gzip import GzipDecoder, GzipEncoder
from ..formats.payload import PayloadWriter
from ..formats.payload_reader import PayloadReader
from ..formats.seal import Opener, Sealer, TagMismatch
from ..pipeline.engine import MAX_CHUNK, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..formats.secret import Secret
    from ..formats.v1 import Header
    from ..pipeline.engine import Inlet, Outlet

#: Secrets gathered before they are written as one chunk, in bytes.
_BATCH = 256 * 1024


class Assemble:
    """SQL and secrets to the payload's JSON (SPEC.md, section 6). Reads the SQL to its end first."""

    name = "assemble"

    def __init__(self, header: Header) -> None:
        self._writer = PayloadWriter(header)

    async def __call__(self, sql: Inlet[bytes], secrets: Inlet[Secret], out: Outlet[bytes]) -> None:
        """Write the payload. Raises ``PayloadError`` for SQL that is not UTF-8."""
        writer = self._writer
        await out.send(writer.begin())
        async for chunk in sql:
            for piece in _pieces(await in_thread(writer.sql, chunk)):
                await out.send(piece)
        await out.send(writer.end_sql())
        batch: list[Secret] = []
        size = 0
        async for secret in secrets:
            batch.append(secret)
            size += secret.nbytes
            if size >= _BATCH:
                for piece in _pieces(writer.secrets(batch)):
                    await out.send(piece)
                batch, size = [], 0
        for piece in _pieces(writer.secrets(batch)):
            await out.send(piece)
        await out.send(writer.finish())


class Split:
    """The payload's JSON to SQL and secrets. ``header`` is the inner header once the payload ended.

    The SQL is passed on in pieces, never held; an empty chunk marks its end, since its edge ends only with the payload.
    ``sql_first`` says whether that was before the first secret.
    """

    name = "split"

    def __init__(self, check_header: Callable[[dict[str, object]], None] | None = None) -> None:
        self._check_header = check_header
        self.header: dict[str, object] | None = None
        self.sql_first = False

    async def __call__(self, payload: Inlet[bytes], sql: Outlet[bytes], secrets: Outlet[Secret]) -> None:
        """Read the payload. Raises ``DamagedArchive`` (layer ``payload``), and what ``check_header`` raises."""
        reader = PayloadReader()
        async for chunk in payload:
            parts = await in_thread(reader.update, chunk)
            if parts.header is not None:
                self.header = parts.header
                if self._check_header:
                    self._check_header(parts.header)
            for text in parts.sql:  # a piece can be longer than its chunk by what the chunk before it cut off
                for piece in _pieces(text):
                    await sql.send(piece)
            if parts.sql_ended:
                self.sql_first = reader.sql_first
                await sql.send(b"")
            for secret in parts.secrets:
                await secrets.send(secret)
        reader.finish()


async def compress(chunks: Inlet[bytes], out: Outlet[bytes]) -> None:
    """Anything to one gzip member."""
    encoder = GzipEncoder()
    async for chunk in chunks:
        for piece in _pieces(await in_thread(encoder.update, chunk)):
            await out.send(piece)
    for piece in _pieces(await in_thread(encoder.finish)):
        await out.send(piece)


async def decompress(chunks: Inlet[bytes], out: Outlet[bytes]) -> None:
    """Gzip members to what they hold, a chunk at a time however strong the compression. Raises ``DamagedArchive``."""
    decoder = GzipDecoder(MAX_CHUNK)
    async for chunk in chunks:
        data = chunk
        while True:
            if piece := await in_thread(decoder.update, data):
                await out.send(piece)
            if not decoder.pending:
                break
            data = b""
    decoder.finish()


class Seal:
    """Anything to ciphertext and tag (SPEC.md, section 4)."""

    name = "seal"

    def __init__(self, key: bytes, nonce: bytes) -> None:
        self._sealer = Sealer(key, nonce)

    async def __call__(self, chunks: Inlet[bytes], out: Outlet[bytes]) -> None:
        """Encrypt. Raises ``PayloadError`` past 64 GiB."""
        async for chunk in chunks:
            await out.send(await in_thread(self._sealer.update, chunk))
        await out.send(self._sealer.finish())


class Open:
    """Ciphertext and tag to what they seal; what it sends is authentic only once it ended."""

    name = "open"

    def __init__(self, key: bytes, nonce: bytes) -> None:
        self._opener = Opener(key, nonce)

    async def __call__(self, chunks: Inlet[bytes], out: Outlet[bytes]) -> None:
        """Decrypt. Raises ``DamagedArchive`` (layer ``seal``) when the tag does not fit."""
        async for chunk in chunks:
            if piece := await in_thread(self._opener.update, chunk):
                await out.send(piece)
        try:
            self._opener.finish()
        except TagMismatch:
            raise DamagedArchive("seal", "The archive's ciphertext does not fit its tag.") from None


class Sha256:
    """A tee that passes chunks on unchanged; ``hexdigest`` is final when the reader of its output saw the end."""

    name = "sha256"

    def __init__(self, expect: str = "") -> None:
        self._expect = expect
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def hexdigest(self) -> str:
        """Lower-case hex SHA-256 over all chunks so far."""
        return self._hash.hexdigest()

    async def __call__(self, chunks: Inlet[bytes], out: Outlet[bytes]) -> None:
        """Hash. Raises ``DamagedArchive`` (layer ``checksum``) when a digest is expected and another came out."""
        async for chunk in chunks:
            await in_thread(self._hash.update, chunk)
            self.size += len(chunk)
            await out.send(chunk)
        if self._expect and self._expect != self.hexdigest:
            raise DamagedArchive("checksum", "The archive's ciphertext does not have the checksum in its header.")


def _pieces(data: bytes) -> Iterator[bytes]:
    """Cut into chunks that an edge takes; nothing for nothing."""
    if 0 < len(data) <= MAX_CHUNK:
        yield data
    else:
        for at in range(0, len(data), MAX_CHUNK):
            yield data[at : at + MAX_CHUNK]
