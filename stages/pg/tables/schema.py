"""The archive's schema in a scratch database: a sink that executes what makes something, and none of the rows.

What the server refuses is remembered, not raised: an extension that is not installed matters to the tables that need
it, and only to them.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from ....formats.sql.grammar import AUTHORIZATION, CLEANING, COPY, EMPTY_SEARCH_PATH, LARGE_OBJECT, NAME, PREPARING
from ....formats.sql.guard import SqlReader
from ....formats.sql.pieces import Piece, Rows
from ...errors import RestoreFailed
from ..execution.executor import Executor
from ..objects import qualified
from ..preservation.preserve import Preservation
from ..session import RestoreSession
from ..survey import SqlFacts

if TYPE_CHECKING:
    from ..server.refusal import StatementRefused
    from ..server.settings import PostgresSettings, Table

#: What no table needs: what would act at once, what is no part of one database, and rows of any kind.
_LEFT_OUT = re.compile(
    rb"(?:create|alter|drop)\s+(?:subscription|publication|event\s+trigger|role|user(?!\s+mapping)|group|database"
    rb"|tablespace|system)\b"
    rb"|comment\s+on\s+(?:subscription|publication|event\s+trigger|role|database|tablespace|large\s+object)\b"
    rb"|(?:grant|revoke)\s+(?!.*\son\s)"
    rb"|(?:grant|revoke)\s(?:[^\"]|\"(?:[^\"]++|\"\")*+\")*?\son\s+(?:database|large\s+object|tablespace|parameter)\s"
    rb"|alter\s+large\s+object\b|insert\b|update\b|delete\b|refresh\b|do\b|call\b|select\s+pg_catalog\.lo_",
    re.IGNORECASE | re.DOTALL,
)
#: Where what follows is made.
_TABLESPACE = re.compile(rb"set\s+default_tablespace\s*=\s*(.*?)\s*;?\s*\Z", re.IGNORECASE | re.DOTALL)
#: What is made in a tablespace.
_MAKES = re.compile(
    rb"create\s+(?:unlogged\s+)?table\s|create\s+(?:unique\s+)?index\s|create\s+materialized\s"
    rb"|alter\s+table\s.*\sadd\s+constraint\s.*\s(?:primary\s+key|unique|exclude)\s",
    re.IGNORECASE | re.DOTALL,
)
#: What has to do with a table: what it is about is the first name with a schema in it.
_OF_TABLES = re.compile(
    rb"create\s+(?:(?:unlogged|foreign|unique|constraint)\s+)*(?:table|index|sequence|trigger|rule|policy|statistics)\b"
    rb"|alter\s+(?:foreign\s+)?(?:table|index|sequence|statistics)\b"
    rb"|comment\s+on\s+(?:foreign\s+)?(?:table|column|index|sequence|constraint|trigger|rule|policy|statistics)\b"
    rb"|security\s+label\b"
    rb"|(?:grant|revoke)\s(?:[^\"]|\"(?:[^\"]++|\"\")*+\")*?\son\s+(?:table|sequence)\s",
    re.IGNORECASE,
)
_NAME = re.compile(NAME)
#: Where that name stands at the latest.
_HEAD = 16_384
#: What it ties to that: both are concerned.
_TIES = re.compile(rb"\b(?:attach\s+partition|owned\s+by|inherits\s*\()\s*(" + NAME + rb")", re.IGNORECASE)
#: Most bytes of refused statements: every one must be remembered, or a table could come back without what it lacks.
_MOST = 64 * 1024 * 1024


class _SchemaExecutor(Executor):
    """Executes each statement by itself; ``refused`` are those that the server did not take.

    ``misplaced`` are those that asked for a tablespace which is not there, with its name: what they make is in the
    default one.
    """

    refused: list[StatementRefused]
    misplaced: list[tuple[str, bytes]]
    _size = 0
    _away = ""  # the tablespace that is asked for and is not there
    _unable: StatementRefused | None = None  # why nothing is granted as the role that was asked for

    def finish(self) -> None:
        """As in ``Executor``; no constraint is held back for rows that do not come."""
        SqlReader.finish(self)

    def _piece(self, piece: Piece, *, wanted: bool) -> None:
        if isinstance(piece, Rows):
            return  # none of them
        super()._piece(piece, wanted=wanted)

    def _statement(self, statement: bytes) -> None:
        if self._search_path and EMPTY_SEARCH_PATH.match(statement):
            statement = f"SET search_path = {self._search_path}".encode()
        if match := _TABLESPACE.match(statement):
            self._go_to(statement, match.group(1).decode(errors="replace").strip())
            return
        if AUTHORIZATION.match(statement):
            self._unable = self._wire.attempt(statement)
            return
        if PREPARING.match(statement):
            self._execute(statement)
            return
        if CLEANING.match(statement) or COPY.match(statement) or LARGE_OBJECT.match(statement):
            return
        if _LEFT_OUT.match(statement):
            return
        refused = replace(self._unable, statement=statement) if self._unable else self._wire.attempt(statement)
        if refused is not None:
            self._remember(refused)
        elif self._away and _MAKES.match(statement):
            self.misplaced.append((self._away, statement))
            self._grow(statement)
        self._check(statement)

    def _go_to(self, statement: bytes, name: str) -> None:
        """Make what follows in a tablespace, or in the default one where it is not there."""
        refused = self._wire.attempt(statement)
        self._away = name if refused is not None else ""
        if refused is not None:
            self._wire.script("SET default_tablespace = ''")

    def _remember(self, refused: StatementRefused) -> None:
        self.refused.append(refused)
        self._grow(refused.statement)

    def _grow(self, statement: bytes) -> None:
        self._size += len(statement)
        if self._size > _MOST:
            raise RestoreFailed(
                f"The server takes too little of the archive's schema. The first that it refuses: {self._first()}.",
                hint="Install or make what is missing there, or restore on a server like that of the backup.",
            )

    def _first(self) -> str:
        return self.refused[0].reason() if self.refused else f"the tablespace {self._away} is not there"


class SchemaSession(RestoreSession):
    """Sink stage: makes what the SQL text makes, in an empty database. Made by ``open_schema``."""

    name = "scratch"

    def __init__(self, settings: PostgresSettings, search_path: tuple[str, ...]) -> None:
        name = f"kleidia-schema-{secrets.token_hex(8)}"
        super().__init__(settings, name, Preservation(), SqlFacts(), search_path)
        #: Statements that the server did not take.
        self.refused: list[StatementRefused] = []
        #: Statements that made something in the default tablespace, since that which they asked for is not there.
        self.misplaced: list[tuple[str, bytes]] = []

    def _begin(self) -> bool:
        alone = super()._begin()
        assert self._wire is not None
        assert self._cleaning is not None
        executor = _SchemaExecutor(self._wire, self._transaction, self._preservation, self._cleaning, self._search_path)
        executor.refused, executor.misplaced = self.refused, self.misplaced
        self._executor = executor
        return alone

    def _before(self) -> None:
        """There is nothing to remember."""

    def _after(self) -> None:
        assert self._executor is not None
        self._executor.check_transaction()

    def about(self, table: Table) -> StatementRefused | None:
        """The first statement on a table, or on a sequence of this name, that the server did not take."""
        return next((each for each in self.refused if table in _concerned(each.statement)), None)

    def tablespaces_of(self, tables: Iterable[Table]) -> list[str]:
        """The tablespaces that these tables or their indexes ask for, and that are not there."""
        wanted = set(tables)
        return sorted({away for away, statement in self.misplaced if wanted & _concerned(statement)})


def _concerned(statement: bytes) -> set[Table]:
    """The tables or their parts that a statement makes, alters or is about; not what it mentions besides."""
    if not _OF_TABLES.match(statement):
        return set()
    names = [match.group() for match in _NAME.finditer(statement[:_HEAD]) if b"." in match.group()][:1]
    names += (match.group(1) for match in _TIES.finditer(statement))
    return {found for each in names if (found := qualified(each)) is not None}


@asynccontextmanager
async def open_schema(settings: PostgresSettings, search_path: tuple[str, ...] = ()) -> AsyncIterator[SchemaSession]:
    """Open a transaction in a scratch database; leaving without ``commit`` rolls it back. Raises ``DatabaseError``."""
    session = SchemaSession(settings, search_path)
    try:
        await session.begin()
        yield session
    finally:
        with anyio.CancelScope(shield=True):
            await session.close()
