"""The stage that reads the payload of format V2. It runs on asyncio and trio, and knows neither files nor servers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...formats.errors import DamagedArchive
from ...formats.sql.pieces import Rows
from ...formats.v2.body import PLAIN
from ...formats.v2.chunks import MAX_RAW, ChunkTexts
from ...formats.v2.frames import check, decompress
from ...formats.v2.index import END_OF_ROWS
from ...formats.v2.kv import read_secrets
from .split import batches

if TYPE_CHECKING:
    from ...formats.secret import Secret
    from ...formats.sql.pieces import Text
    from ...formats.v2.entries import Entry
    from ...formats.v2.payload import Layout
    from ...pipeline.engine import Inlet, Outlet


def open_secrets(layout: Layout, number: int, stored: bytes) -> list[Secret]:
    """The secrets of a chunk as it is stored, compared with the index. Raises ``DamagedArchive``."""
    entry = layout.index.entries[number]
    check(entry, stored)
    secrets = read_secrets(decompress(entry, stored))
    if len(secrets) != entry.secrets:
        raise DamagedArchive("payload", "A chunk of the archive holds another number of secrets.")
    layout.index.entries.check_paths(number, [secret.path for secret in secrets])
    return secrets


@dataclass(slots=True)
class Opened:
    """What one chunk is: text of the dump, or secrets."""

    sql: Sequence[Text] = ()
    secrets: Sequence[Secret] = ()


class Unpack:
    """Chunks to SQL and secrets, each compared with the index before anybody sees it.

    ``wanted`` are the numbers of chunks, in order, and ``spans`` the segments that come (see ``Body.spans``). Rows that
    are not wanted are passed over: of their COPY statement only the empty form is given. ``look`` sees each piece of
    SQL while it is at hand, in the thread.
    """

    name = "unpack"
    #: Bytes: a member that is not whole, a chunk decompressed, and what is made of it.
    working_set = 3 * MAX_RAW

    def __init__(
        self,
        layout: Layout,
        wanted: Sequence[int],
        spans: Sequence[tuple[int, int]],
        *,
        look: Callable[[Text], None] | None = None,
    ) -> None:
        self._layout = layout
        self._entries = layout.index.entries
        self._wanted = wanted
        self._look = look
        self._next = 0  # place in ``wanted``
        self._buffer = bytearray()
        self._spans = iter([(first * PLAIN, end * PLAIN) for first, end in spans])
        self._at, self._end = next(self._spans, (0, 0))  # where the buffer begins in the payload, and its span ends
        self._sql_ended = False
        self._chunk_texts = ChunkTexts()
        self._passed = 0  # chunks that were looked at or passed over
        self._table = -1  # the last COPY of which rows were passed over

    async def __call__(self, payload: Inlet[bytes], sql: Outlet[Text], secrets: Outlet[Secret]) -> None:
        """Read. Raises ``DamagedArchive``, and what ``look`` raises."""
        async for opened in payload.each(self._parse):
            for one in opened:
                for text in one.sql:
                    await sql.send(text)
                if one.secrets and not self._sql_ended:
                    self._sql_ended = True
                    await sql.end()
                for together in batches(one.secrets):
                    await secrets.send_together(together)
        if self._next != len(self._wanted):
            raise DamagedArchive("seal", "The archive ends before its last chunk.")
        self._skip(len(self._entries))

    def _parse(self, plain: bytes) -> list[Opened]:
        if self._at + len(self._buffer) >= self._end:
            self._buffer.clear()
            self._at, self._end = next(self._spans)
        self._buffer += plain
        found: list[Opened] = []
        while self._next < len(self._wanted):
            number = self._wanted[self._next]
            first, behind = self._layout.span(number)
            if first >= self._at + len(self._buffer):
                self._at += len(self._buffer)
                self._buffer.clear()
                break
            if behind > self._at + len(self._buffer):
                break
            block = bytes(memoryview(self._buffer)[first - self._at : behind - self._at])
            self._skip(number)
            found.append(self._open(number, self._layout.content(number, block)))
            self._next += 1
        drop = min(len(self._buffer), max(0, self._needed() - self._at))
        del self._buffer[:drop]
        self._at += drop
        return found

    def _skip(self, number: int) -> None:
        """Look at the COPY statements of the rows that are passed over before this chunk, each as one without rows."""
        for at in range(self._passed, number):
            entry = self._entries[at]
            if self._look and entry.k == "rows" and entry.t > self._table:
                self._table = entry.t
                self._look(self._copy(entry) + b"\\.\n")
        self._passed = number + 1

    def _copy(self, entry: Entry) -> bytes:
        return self._layout.index.copies[entry.t].copy.encode() + b"\n"

    def _needed(self) -> int:
        """From where on bytes are still needed."""
        if self._next == len(self._wanted):
            return self._at + len(self._buffer)
        return self._layout.span(self._wanted[self._next])[0]

    def _open(self, number: int, stored: bytes) -> Opened:
        entry = self._entries[number]
        if entry.k == "kv":
            return Opened(secrets=open_secrets(self._layout, number, stored))
        check(entry, stored)
        data = decompress(entry, stored)
        texts = self._texts(number, data)
        if self._look:
            for text in texts:
                self._look(text)
        return Opened(sql=texts)

    def _texts(self, number: int, data: bytes) -> list[Text]:
        """The dump's own text in a chunk: its rows apart, which nobody has to cut again."""
        entry = self._entries[number]
        start, end = self._layout.index.own(number)
        if entry.k != "rows":
            self._chunk_texts.sql(data, more=entry.more, blank=entry.blank)
            return [data]
        behind = len(data) - entry.tail
        rows = self._rows(entry, data)
        head, tail = data[start : entry.head], data[behind:end]
        return [*([head] if head else ()), *([rows] if rows.data else ()), *([tail] if tail else ())]

    def _rows(self, entry: Entry, data: bytes) -> Rows:
        """The rows of a chunk. Raises ``DamagedArchive`` when they are others than the index says."""
        rows = Rows(data[entry.head : len(data) - entry.tail])
        heads = not entry.head or data[: entry.head] == self._copy(entry)
        tail = data[len(data) - entry.tail :] if entry.tail else END_OF_ROWS
        if not heads or tail != END_OF_ROWS or rows.count != entry.rows:
            raise DamagedArchive("payload", "A chunk of the archive holds other rows than its index says.")
        self._chunk_texts.rows(rows.data, inside=not entry.head, more=entry.more)
        return replace(rows, counted=entry.rows)
