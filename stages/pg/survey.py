"""What an archive's SQL text holds, found in passing: for the verification, the dry run and the restore."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...pipeline.engine import Inlet, in_thread
from ..drain import drain
from ..errors import ConfigurationError, DamagedArchive
from .filter import MIDDLES, UNREADABLE, Guard, Unreadable
from .scan import Rows, Sql, SqlScanner, Unfit, bare
from .settings import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .scan import Piece

#: Names kept of each kind; an archive with more sets ``truncated``.
LIMIT = 200_000

_IDENTIFIER = rb'(?:"(?:[^"]|"")+"|[^\s".;,()]+)'
_NAME = rb"(" + _IDENTIFIER + rb"(?:\." + _IDENTIFIER + rb")?)"
_TABLE = re.compile(rb"create\s+(?:unlogged\s+|foreign\s+)?table\s+(?:if\s+not\s+exists\s+)?" + _NAME, re.IGNORECASE)
_EXTENSION = re.compile(rb"create\s+extension\s+(?:if\s+not\s+exists\s+)?" + _NAME, re.IGNORECASE)
_RELATION = re.compile(
    rb"create\s+(?:or\s+replace\s+)?(?:unlogged\s+)?(?:recursive\s+)?(?:(?:materialized\s+)?view|sequence)\s+"
    rb"(?:if\s+not\s+exists\s+)?" + _NAME,
    re.IGNORECASE,
)
_ROUTINE = re.compile(rb"create\s+(?:or\s+replace\s+)?(?:function|procedure|aggregate)\s+" + _NAME, re.IGNORECASE)
_TYPE = re.compile(rb"create\s+(?:type|domain)\s+" + _NAME, re.IGNORECASE)
_SCHEMA = re.compile(rb"create\s+schema\s+(?:if\s+not\s+exists\s+)?" + _NAME, re.IGNORECASE)
_ROWS_OF = re.compile(rb"(?:copy|insert\s+into)\s+(?:only\s+)?" + _NAME, re.IGNORECASE)
_OWNER = re.compile(rb"alter\s.*\sowner\s+to\s+" + _NAME + rb"\s*;\Z", re.IGNORECASE | re.DOTALL)
_FOR_ROLE = re.compile(rb"alter\s+default\s+privileges\s+for\s+(?:role|user)\s+(" + _IDENTIFIER + rb")", re.IGNORECASE)
_GRANTEE = re.compile(
    rb"(?:grant|revoke|alter\s+default\s+privileges|create\s+policy)\s.*?\s(?:to|from)\s+("
    + _IDENTIFIER
    + rb"(?:\s*,\s*"
    + _IDENTIFIER
    + rb")*)\s*(?:;|with\b|using\b|granted\b)",
    re.IGNORECASE | re.DOTALL,
)
_GRANTS = re.compile(rb"grant|revoke|alter\s+default|create\s+policy", re.IGNORECASE)
_DUMPED = re.compile(rb"^-- Dumped (?:from database|by pg_dump) version (\d+)", re.MULTILINE)
_OBJECT = re.compile(
    rb"alter\s+table\s.*\sadd\s+constraint\s.*\s(?:primary\s+key|unique|exclude)\b", re.IGNORECASE | re.DOTALL
)


@dataclass
class SqlFacts:
    """What was found.

    ``tables`` are those the text creates; ``rows`` counts the rows per table (of COPY; INSERT statements count one
    each). ``relations`` are views and sequences, ``routines`` functions, procedures and aggregates, ``types`` domains
    too. ``roles`` are those named as owner or grantee, ``owners`` those in whose name something is done. ``objects``
    estimates the locks that a restore takes. ``versions`` are the major versions of the server and of the pg_dump
    that made it. ``bytes`` is the text's size.
    """

    bytes: int = 0
    statements: int = 0
    objects: int = 0
    tables: set[Table] = field(default_factory=set)
    rows: dict[Table, int] = field(default_factory=dict)
    relations: set[Table] = field(default_factory=set)
    routines: set[Table] = field(default_factory=set)
    types: set[Table] = field(default_factory=set)
    schemas: set[str] = field(default_factory=set)
    extensions: set[str] = field(default_factory=set)
    roles: set[str] = field(default_factory=set)
    owners: set[str] = field(default_factory=set)
    versions: tuple[int, ...] = ()
    truncated: bool = False


class SqlSurvey:
    """Reads SQL text, keeps ``facts``, and refuses what could not be restored in one transaction.

    ``feed`` is for whoever has the text at hand; ``end`` is the sink stage that knows when it ended.
    """

    def __init__(self) -> None:
        self.facts = SqlFacts()
        self._scanner = SqlScanner()
        self._guard = Guard()
        self._table: Table | None = None  # whose rows are passing

    def feed(self, chunk: bytes) -> None:
        """Read one chunk.

        Raises ``DamagedArchive`` when the text holds what pg_dump never writes: a psql command, or a statement that
        ends the transaction. ``finish`` does too, and when it ends in the middle of something.
        """
        self.facts.bytes += len(chunk)
        self._see(self._scanner.feed(chunk))

    async def end(self, sql: Inlet[bytes]) -> None:
        """Read to the end what was fed already. Raises as ``finish`` does."""
        await drain(sql)
        await in_thread(self.finish)

    def finish(self) -> None:
        """The text ends here."""
        self._see(self._scanner.finish(), last=True)

    def _see(self, pieces: Iterable[Piece], *, last: bool = False) -> None:
        try:
            for piece in pieces:
                self._guard.let_through(piece)
                if isinstance(piece, Rows):
                    if self._table is not None and (count := piece.count):
                        self.facts.rows[self._table] += count
                elif isinstance(piece, Sql) and piece.first:
                    self._statement(piece.data)
            if last:
                self._guard.unended(self._scanner.inside)
                if inside := self._scanner.inside:
                    raise DamagedArchive("payload", f"The archive's SQL ends in the middle of {MIDDLES[inside]}.")
                self._guard.end()
        except Unreadable as exc:
            hint = f"The archive is whole, but no psql can restore it as it is. {UNREADABLE}"
            raise DamagedArchive("payload", f"The archive's SQL holds {exc}.", hint=hint) from None
        except Unfit as exc:
            message = f"The archive's SQL holds {exc}, which cannot be restored in one transaction."
            raise DamagedArchive("payload", message) from None

    def _statement(self, data: bytes) -> None:
        facts = self.facts
        if not facts.versions and b"-- Dumped" in data:
            facts.versions = tuple(int(version) for version in _DUMPED.findall(data))
        statement = bare(data)
        if not statement:
            return
        facts.statements += 1
        word = statement[:6].lower().rstrip()
        if word.startswith((b"copy", b"insert")):
            self._rows_of(statement, inserted=word == b"insert")
        elif word == b"create":
            facts.objects += 1
            self._created(statement)
        elif word.startswith(b"alter"):
            facts.objects += 1 if _OBJECT.match(statement) else 0
            for match in (_OWNER.match(statement), _FOR_ROLE.match(statement)):
                self._add(facts.roles, match)
                self._add(facts.owners, match)
        if _GRANTS.match(statement) and (match := _GRANTEE.match(statement)):
            for name in match.group(1).split(b","):
                self._keep(facts.roles, _plain(name))
            facts.roles.discard("public")

    def _created(self, statement: bytes) -> None:
        facts = self.facts
        for pattern, names in (
            (_TABLE, facts.tables),
            (_RELATION, facts.relations),
            (_ROUTINE, facts.routines),
            (_TYPE, facts.types),
        ):
            if (match := pattern.match(statement)) and (name := _table(match.group(1))) is not None:
                self._keep(names, name)
        self._add(facts.extensions, _EXTENSION.match(statement))
        self._add(facts.schemas, _SCHEMA.match(statement))

    def _rows_of(self, statement: bytes, *, inserted: bool) -> None:
        match = _ROWS_OF.match(statement)
        table = _table(match.group(1)) if match else None
        rows = self.facts.rows
        if table is not None and table not in rows:
            if len(rows) >= LIMIT:
                self.facts.truncated = True
                table = None
            else:
                rows[table] = 0
        if inserted and table is not None:
            rows[table] += 1
        self._table = table

    def _add(self, names: set[str], match: re.Match[bytes] | None) -> None:
        if match:
            self._keep(names, _plain(match.group(1)))

    def _keep(self, names: set[str] | set[Table], name: str | Table) -> None:
        if len(names) < LIMIT:
            names.add(name)  # type: ignore[arg-type]
        else:
            self.facts.truncated = True


def _table(name: bytes) -> Table | None:
    try:
        return Table.parse(name.decode())
    except (ConfigurationError, UnicodeDecodeError):
        return None


def _plain(name: bytes) -> str:
    """An identifier without its quotes; without them, in lower case."""
    text = name.strip().decode(errors="replace")
    return text[1:-1].replace('""', '"') if text.startswith('"') else text.lower()
