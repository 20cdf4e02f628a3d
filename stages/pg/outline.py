"""A dump without its rows: its statements as text, what kinds of objects it makes, and how much it holds of each table.

What is an object's kind is pg_dump's own word for it: it stands in a comment before the statement that makes the
object. Nothing is restored by that; a text without such comments has no kinds.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from ...formats.sql.cut import bare
from ...formats.sql.guard import SqlReader
from ...formats.sql.pieces import Piece, Rows, Sql, Text, Unfit
from ...pipeline.engine import in_thread
from ..errors import DamagedArchive
from .data_statements import AS_ANOTHER, AS_BEFORE, fills
from .survey import copied

if TYPE_CHECKING:
    from ...pipeline.engine import Inlet
    from .server.settings import Table

#: Most bytes of statements that are kept as text.
MOST_TEXT = 16 * 1024 * 1024
#: Most tables whose rows are measured, and most kinds that are counted.
_TABLES, _KINDS = 200_000, 1000

_OBJECT = re.compile(rb"^(-- Name: .*; Type: ([A-Za-z][A-Za-z ]{0,60}); Schema: .*; Owner: .*)$", re.MULTILINE)
#: What pg_dump calls the contents of objects, which are no objects.
_CONTENTS = {"TABLE DATA", "SEQUENCE SET", "BLOBS", "MATERIALIZED VIEW DATA", "STATISTICS DATA"}


class Measured:
    """The rows of a table: bytes as text, line ends included, and a digest of them.

    That is the SHA-256 over the rows of the table's COPY. pg_dump may write several for one table, where it fills
    partitions by way of their root; then it is the sum of theirs (modulo 2**256), whatever their order: several
    processes dump them in any. INSERT statements together count as one more.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._sum = 0
        self._known = True
        self._copy = hashlib.sha256()
        self._inserted: hashlib._Hash | None = None

    @property
    def digest(self) -> str:
        """In hex; empty where that of a COPY is not known."""
        inserted = int.from_bytes(self._inserted.digest()) if self._inserted else 0
        return f"{(self._sum + inserted) % 2**256:064x}" if self._known else ""

    def insert(self, statement: bytes) -> None:
        """Add an INSERT, or the next part of one."""
        self._inserted = self._inserted or hashlib.sha256()
        self._inserted.update(statement)
        self.bytes += len(statement)

    def begin(self) -> None:
        """A COPY begins, whose ``rows`` come and ``end``."""
        self._copy = hashlib.sha256()

    def rows(self, data: bytes) -> None:
        """Add rows of a COPY."""
        self._copy.update(data)
        self.bytes += len(data)

    def end(self) -> None:
        """A COPY ends."""
        self.add(0, self._copy.hexdigest())

    def add(self, size: int, digest: str) -> None:
        """Add a whole COPY, whose digest may be unknown (empty)."""
        self.bytes += size
        self._sum += int(digest or "0", 16)
        self._known = self._known and digest != ""


class Outline(SqlReader):
    """A sink of SQL text. ``kinds`` counts objects, ``tables`` measures rows, ``statements`` are all others.

    Of the text go the rows, with COPY and INSERT, what else fills objects (see ``data_statements``), commands of psql,
    and comments but those that name an object. ``statements`` is None when they are more than ``most`` bytes;
    ``digest`` is over all of them, whatever their size. Complete after the run.

    Raises ``DamagedArchive`` for what no restore would take.
    """

    name = "outline"

    def __init__(self, *, most: int = MOST_TEXT) -> None:
        super().__init__()
        self.kinds: dict[str, int] = {}
        self.tables: dict[Table, Measured] = {}
        self.statements: list[str] | None = []
        self._most = most
        self._size = 0
        self._hash = hashlib.sha256()
        self._parts: list[bytes] = []  # of the statement that is being read
        self._kept = False  # whether that one is
        self._waiting: bytes | None = None  # a change of the role, kept if a statement that is kept follows
        self._as_another = False  # such a one was kept
        self._measured: Measured | None = None  # the table of the rows that come
        self._inserting: Measured | None = None  # that of the INSERT that is being read

    @property
    def digest(self) -> str:
        """SHA-256 over the statements, in hex."""
        return self._hash.hexdigest()

    async def __call__(self, sql: Inlet[Text]) -> None:
        """Read to the end."""
        async for chunk in sql:
            await in_thread(self.feed, chunk)
        await in_thread(self.finish)

    def _cut_short(self, inside: str) -> DamagedArchive:
        return DamagedArchive("payload", f"The SQL ends in the middle of {inside}.")

    def _refused(self, unfit: Unfit) -> DamagedArchive:
        return DamagedArchive("payload", f"The SQL holds {unfit}, which cannot be restored in one transaction.")

    def finish(self) -> None:
        """The text ends here."""
        super().finish()
        self._keep_waiting()

    def _piece(self, piece: Piece, *, wanted: bool) -> None:  # noqa: ARG002 - a limit of the session is a statement too
        if isinstance(piece, Rows):
            if self._measured is None or piece.behind:
                return
            if piece.last:
                self._measured.end()
            else:
                self._measured.rows(piece.data)
        elif isinstance(piece, Sql):
            if piece.first:
                self._begin(piece.data, whole=piece.last)
            elif self._inserting is not None:
                self._inserting.insert(piece.data)
            elif self._kept:
                self._keep(piece.data)
            if piece.last and self._kept:
                self._end()

    def _begin(self, data: bytes, *, whole: bool) -> None:
        statement = bare(data)
        names = [
            match.group(1)
            for match in _OBJECT.finditer(data[: len(data) - len(statement)])
            if self._count(match.group(2).decode())
        ]
        self._kept = bool(statement) and not self._is_contents(statement, whole=whole)
        if not self._kept:
            return
        text = b"".join(name.rstrip(b"\r") + b"\n" for name in names) + statement
        if statement == AS_BEFORE:
            self._kept = self._waiting is None
            self._waiting, self._as_another = None, False
        elif not self._as_another and self._waiting is None and AS_ANOTHER.fullmatch(statement):
            self._waiting, self._kept = text, False
        else:
            self._keep_waiting()
        if self._kept:
            self._keep(text)

    def _keep_waiting(self) -> None:
        if self._waiting is not None:
            self._keep(self._waiting)
            self._end()
            self._waiting, self._as_another = None, True

    def _count(self, kind: str) -> bool:
        if kind in _CONTENTS:
            return False
        if kind in self.kinds or len(self.kinds) < _KINDS:
            self.kinds[kind] = self.kinds.get(kind, 0) + 1
        return True

    def _is_contents(self, statement: bytes, *, whole: bool) -> bool:
        """Whether a statement fills something, and does not make it."""
        self._inserting = None
        word = statement[:6].lower()
        if word.startswith((b"copy", b"insert")):
            table = copied(statement)
            self._measured = None
            if table is not None and (table in self.tables or len(self.tables) < _TABLES):
                self._measured = self.tables.setdefault(table, Measured())
                if word == b"insert":
                    self._inserting = self._measured
                    self._measured.insert(statement)
                else:
                    self._measured.begin()
            return table is not None or word != b"insert"
        if statement in (b"BEGIN;", b"COMMIT;"):  # only large objects stand between them
            return True
        return fills(statement, whole=whole, backslashes=self._cutter.backslashes)

    def _keep(self, data: bytes) -> None:
        self._hash.update(data)
        self._size += len(data)
        if self._size > self._most:
            self.statements = None
            self._parts.clear()
        if self.statements is not None:
            self._parts.append(data)

    def _end(self) -> None:
        """What was kept is a whole statement."""
        self._hash.update(b"\n")
        if self._parts and self.statements is not None:
            self.statements.append(b"".join(self._parts).decode(errors="backslashreplace"))
        self._parts.clear()
