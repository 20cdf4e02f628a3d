"""What is read of a pg_dump: its text as it comes, or cut into chunks. Either is read as a restore would read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from ....formats.errors import PayloadError
from ....formats.sql.cut import bare
from ....formats.sql.grammar import COPY, PREPARING, SETVAL
from ....formats.sql.guard import MIDDLES, SqlReader
from ....formats.sql.pieces import Piece, Sql, Unfit
from ....formats.v2.chunks import Chunk, SqlChunks
from ...errors import DumpFailed

T_co = TypeVar("T_co", covariant=True)

_PASSED = (PREPARING, SETVAL)


class DumpReader(Protocol[T_co]):
    """What is fed a dump, and makes of it what is sent. Both raise ``DumpFailed``."""

    def feed(self, chunk: bytes, /) -> Iterable[T_co]:
        """What is ready after these bytes."""

    def finish(self) -> Iterable[T_co]:
        """What is left at the end."""


class DumpText:
    """The text itself. One that no restore would take is worth no archive, even when pg_dump is content."""

    def __init__(self) -> None:
        self._check = _Check()

    def feed(self, chunk: bytes) -> tuple[bytes, ...]:
        """As in ``DumpReader``."""
        self._check.feed(chunk)
        return (chunk,)

    def finish(self) -> tuple[bytes, ...]:
        """As in ``DumpReader``."""
        self._check.finish()
        return ()


class _Check(SqlReader):
    def _refused(self, unfit: Unfit) -> DumpFailed:
        return _unfit(unfit)


class DumpChunks(SqlChunks):
    """The chunks of format V2: cut, and checked in the same reading. Also raises ``PayloadError``, as ``SqlChunks``."""

    def finish(self) -> Iterator[Chunk]:
        """As in ``DumpReader``."""
        try:
            yield from super().finish()
        except PayloadError:
            if self._cutter.copying:  # the text ends in a COPY's own line
                raise self._cut_short("rows") from None
            raise

    def _end(self) -> None:
        if inside := self._cutter.inside:
            raise self._cut_short(inside)
        try:
            self._guard.end()
        except Unfit as unfit:
            raise self._refused(unfit) from None

    def _cut_short(self, inside: str) -> DumpFailed:
        return _unfit(Unfit(f"an end in the middle of {MIDDLES[inside]}"))

    def _refused(self, unfit: Unfit) -> DumpFailed:
        return _unfit(unfit)


class RowsChunks(DumpChunks):
    """Of a dump of rows alone: what prepares a session, COPY, and values of sequences. ``copies`` counts the second."""

    def __init__(self) -> None:
        super().__init__()
        self.copies = 0

    def _look(self, piece: Piece) -> None:
        if not isinstance(piece, Sql) or not piece.first:
            return
        statement = bare(piece.data)
        if COPY.match(statement):
            self.copies += 1
        elif statement and not any(passed.match(statement) for passed in _PASSED):
            raise DumpFailed(
                "A pg_dump of rows alone wrote another statement.",
                hint="Check that pg_dump is PostgreSQL's own; then please report this. jobs = 1 does without it.",
            )


def _unfit(unfit: Unfit) -> DumpFailed:
    return DumpFailed(
        f"The dump holds {unfit}, which cannot be restored in one transaction.",
        hint="Check that pg_dump is PostgreSQL's own; then please report this.",
    )
