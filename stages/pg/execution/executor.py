"""Executes an archive's SQL text in an open transaction, statement by statement. Blocking; called in a thread.

Each statement is a message of its own, which PostgreSQL refuses to take two of, and after each one the server's own
word is compared: a transaction is open, and text is read as it was. Rows go by COPY.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ....formats.sql.cut import bare
from ....formats.sql.grammar import CLEANING, COPY, EMPTY_SEARCH_PATH, ENCODING, PREPARING, ROWS, UNSAFE_ENCODING, head
from ....formats.sql.guard import SqlReader
from ....formats.sql.pieces import Piece, Rows, Sql, Unfit
from ...errors import RestoreFailed
from ...words import count
from ..server.refusal import MISSING
from ..server.settings import quote_identifier
from .checks import HeldChecks
from .paths import EMPTIED, RoutinePaths

if TYPE_CHECKING:
    from ..preservation.preserve import Preservation
    from ..server.wire import Wire
    from .cleaning import Cleaning

#: Bytes of one statement at most: the server takes no message of a gigabyte.
LONGEST = 1_000_000_000

#: What PostgreSQL calls the statements that pg_dump writes; after any other the transaction is asked for its id.
_USUAL = re.compile(
    rb"(?:create|alter|drop|comment|grant|revoke|set|copy|insert|refresh|security"
    rb"|select\s+pg_catalog\.(?:setval|set_config|lo_\w+|lowrite))\b",
    re.IGNORECASE,
)


class Executor(SqlReader):
    """Takes the text in chunks. ``transaction`` is the id of the one that is open."""

    def __init__(
        self,
        wire: Wire,
        transaction: str,
        preservation: Preservation,
        cleaning: Cleaning,
        search_path: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self._wire = wire
        self._transaction = transaction
        self._preservation = preservation
        self._cleaning: Cleaning | None = cleaning
        self._search_path = ", ".join(map(quote_identifier, search_path))
        self._checks = HeldChecks(wire, preservation.keep)
        self._paths = RoutinePaths(wire, self._search_path)
        self._rows_came = False
        self._encoding = wire.encoding
        self._parts: list[bytes] = []  # of a statement that is not whole yet
        self._size = 0
        self._skipping = False
        self._copy = b""  # the COPY whose rows are passing
        self._sent = 0  # of its rows

    def finish(self) -> None:
        """The text ends here. Raises as ``feed`` does (``StatementRefused``, ``RestoreFailed``)."""
        super().finish()
        self._end_cleaning()
        self._hold_checks()

    def make_checks(self) -> list[str]:
        """Make the constraints again that were held back; warnings. Raises ``StatementRefused``."""
        self._paths.take_back()
        return self._checks.make()

    def _cut_short(self, inside: str) -> RestoreFailed:
        return RestoreFailed(
            f"The archive's SQL ends in the middle of {inside}: its dump was cut short.",
            hint="Restore from another archive.",
        )

    def _refused(self, unfit: Unfit) -> RestoreFailed:
        return RestoreFailed(
            f"The archive's SQL holds {unfit}, which cannot be restored in one transaction.",
            hint="This archive's SQL does not come from pg_dump, or was edited.",
        )

    def _piece(self, piece: Piece, *, wanted: bool) -> None:
        if isinstance(piece, Rows):
            if piece.last:
                self._sent += piece.count if wanted else 0
                self._end_rows()
            elif wanted:
                self._wire.rows(piece.data, self._copy)
                self._sent += piece.count
        elif isinstance(piece, Sql):
            if piece.first:
                self._parts.clear()
                self._size, self._skipping = 0, not wanted
            self._parts.append(piece.data)
            self._size += len(piece.data)
            if self._size > LONGEST:
                raise Unfit("a statement of more than a gigabyte")
            if piece.last and not self._skipping:
                statement = bare(b"".join(self._parts) if len(self._parts) > 1 else piece.data)
                self._parts.clear()
                self._statement(statement)

    def _statement(self, statement: bytes) -> None:
        if self._search_path and EMPTY_SEARCH_PATH.match(statement):
            self._execute(f"SET search_path = {self._search_path}".encode())
            return
        if self._cleaning is not None and not PREPARING.match(statement):
            if CLEANING.match(statement):
                self._cleaning.run(statement)
                self._check(statement)
                return
            self._end_cleaning()
        if ROWS.match(statement):
            self._hold_checks()
        if COPY.match(statement):
            self._copy, self._sent = statement, 0
            self._wire.begin_rows(statement)
            return
        for each in self._preservation.statement(statement):
            if self._search_path and EMPTIED.match(each):
                self._under_path(each)
            else:
                self._execute(each)

    def _end_rows(self) -> None:
        r"""Servers before version 18 end a COPY at any ``\\.`` before an end of line, and pass over what follows."""
        stored = self._wire.end_rows(self._copy)
        if stored != self._sent:
            raise RestoreFailed(
                f"PostgreSQL stored {stored:,} of {count(self._sent, 'row')} at {head(self._copy)}: an end of rows "
                "(\\.) is among them, or a trigger of the archive leaves some out.",
                hint="This archive's SQL does not come from pg_dump, or was edited.",
            )
        self._check(self._copy)

    def _under_path(self, statement: bytes) -> None:
        """Execute what the server runs under an empty path; its functions are given the one that was asked for."""
        refused = self._wire.attempt(statement)
        if refused is not None:
            if refused.code not in MISSING or not refused.in_function or not self._paths.give():
                raise refused
            self._wire.run(statement)
        self._check(statement)

    def _execute(self, statement: bytes) -> None:
        self._wire.run(statement)
        if match := ENCODING.match(statement):
            if UNSAFE_ENCODING.match(self._wire.encoding.encode()):
                raise Unfit(f"the encoding {match.group(1).decode()}")
            self._encoding = self._wire.encoding
        self._check(statement)

    def _check(self, statement: bytes) -> None:
        """Refuse to go on when a statement changed what it may not, as the server reports it."""
        if not self._wire.in_transaction:
            raise Unfit("a statement that ends the transaction")
        if self._wire.encoding != self._encoding:
            raise Unfit("a statement that changes the client's encoding by itself")
        if self._wire.backslashes != self._cutter.backslashes:
            raise Unfit("a statement that changes what a backslash means by itself")
        if not _USUAL.match(statement):
            self.check_transaction()

    def check_transaction(self) -> None:
        """Raise ``RestoreFailed`` unless the transaction is the one that was begun."""
        ((now,),) = self._wire.execute(b"SELECT pg_catalog.txid_current()::pg_catalog.text")
        if now != self._transaction:
            raise RestoreFailed(
                "The archive's SQL ended the transaction by itself: part of it may be committed.",
                hint="Compare the database with a backup made before; this archive is not one of pg_dump's.",
            )

    def _end_cleaning(self) -> None:
        if self._cleaning is not None:
            self._cleaning.finish()
            self._cleaning = None

    def _hold_checks(self) -> None:
        if not self._rows_came:
            self._rows_came = True
            self._checks.hold()
