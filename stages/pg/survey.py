"""What an archive's SQL text holds, found in passing: for the verification, the dry run and the restore."""

from __future__ import annotations

import codecs
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ...formats.sql.cut import bare
from ...formats.sql.grammar import CREATE_SUBSCRIPTION
from ...formats.sql.guard import SqlReader
from ...formats.sql.pieces import Piece, Rows, Sql, Text, Unfit
from ...pipeline.engine import Inlet, drain, in_thread
from ..errors import DamagedArchive
from .objects import IDENTIFIER, made, multirange, plain, qualified, used_types
from .server.settings import Table

T = TypeVar("T")

#: Names kept of each kind; an archive with more sets ``truncated``.
LIMIT = 200_000

# What repeats gives nothing back (``*+``), and no text can be passed over in two ways: the time that a pattern takes
# grows as its text.
_NAME = rb"(" + IDENTIFIER + rb"(?:\." + IDENTIFIER + rb")?+)"
_TABLE = re.compile(rb"create\s+(?:unlogged\s+|foreign\s+)?table\s+(?:if\s+not\s+exists\s+)?" + _NAME, re.IGNORECASE)
_EXTENSION = re.compile(rb"create\s+extension\s+(?:if\s+not\s+exists\s+)?" + _NAME, re.IGNORECASE)
_RELATION = re.compile(
    rb"create\s+(?:or\s+replace\s+)?(?:unlogged\s+)?(?:recursive\s+)?(?:(?:materialized\s+)?view|sequence)\s+"
    rb"(?:if\s+not\s+exists\s+)?" + _NAME,
    re.IGNORECASE,
)
_ROUTINE = re.compile(rb"create\s+(?:or\s+replace\s+)?(?:function|procedure|aggregate)\s+" + _NAME, re.IGNORECASE)
_FOREIGN = re.compile(rb"create\s+foreign\s+table\s+(?:if\s+not\s+exists\s+)?" + _NAME, re.IGNORECASE)
_TYPE = re.compile(rb"create\s+(?:type|domain)\s+" + _NAME, re.IGNORECASE)
_SCHEMA = re.compile(rb"create\s+schema\s+(?:if\s+not\s+exists\s+)?" + _NAME, re.IGNORECASE)
_ROWS_OF = re.compile(rb"(?:copy|insert\s+into)\s+(?:only\s+)?" + _NAME, re.IGNORECASE)
_OWNER = re.compile(rb"alter\s.*\sowner\s+to\s+" + _NAME + rb"\s*;\Z", re.IGNORECASE | re.DOTALL)
_OWNED = re.compile(rb"alter\s+[a-z\s]+?\s(" + IDENTIFIER + rb")\.", re.IGNORECASE)
_EVENT_TRIGGER = re.compile(rb"create\s+event\s+trigger\s+(" + IDENTIFIER + rb")", re.IGNORECASE)
#: What only a superuser may make.
_SUPERUSER = re.compile(
    rb"create\s+(?:or\s+replace\s+)?(?:trusted\s+|procedural\s+)*(?:"
    rb"(event\s+trigger|foreign\s+data\s+wrapper|access\s+method|operator\s+class|operator\s+family"
    rb"|text\s+search\s+parser|text\s+search\s+template|language)\s+" + _NAME + rb"|"
    rb"(publication)\s+" + _NAME + rb"\s+for\s+(?:all\s+tables|tables\s+in\s+schema)\b|"
    rb"(type)\s+" + _NAME + rb"\s*\(\s*internallength\b|"
    rb"(function)\s+"
    + _NAME
    # Few blanks before the word, as pg_dump writes it: with any number, blank lines would be read once for each other.
    + rb"(?=(?:(?!\n[ \t]{0,8}language\s)[^;])*\n[ \t]{0,8}language\s{1,8}"
    + rb"(?:(?:c|internal)\b|[^\n;']*\s(?:leakproof|support)\b)))",
    re.IGNORECASE,
)
_FOR_ROLE = re.compile(rb"alter\s+default\s+privileges\s+for\s+(?:role|user)\s+(" + IDENTIFIER + rb")", re.IGNORECASE)
#: Done in the name of another role, who granted it.
_GRANTOR = re.compile(rb"set\s+session\s+authorization\s+(?!default\b)(" + IDENTIFIER + rb")\s*;", re.IGNORECASE)
#: A setting of a function, each on a line of its own.
_PARAMETER = re.compile(rb"^ {4}SET (" + IDENTIFIER + rb") TO ", re.MULTILINE)
_ON_SCHEMA = re.compile(rb"comment\s+on\s+schema\s+(" + IDENTIFIER + rb")\s+is\b", re.IGNORECASE)
#: Words, names and constants that are passed over.
_PASSED = rb"""(?:"[^"]*+"|'[^']*+'|[^"'])*?"""
_GRANTEE = re.compile(
    rb"(?:(?:grant|revoke|alter\s+default\s+privileges)\s" + _PASSED + rb"\s(?:to|from)"
    rb"|create\s+policy\s"
    + _PASSED
    + rb"\sto)\s+("
    + IDENTIFIER
    + rb"(?:\s*+,\s*+"
    + IDENTIFIER
    + rb")*+)\s*+(?:;|with\b|using\b|granted\b)",
    re.IGNORECASE | re.DOTALL,
)
_GRANTS = re.compile(rb"grant|revoke|alter\s+default|create\s+policy", re.IGNORECASE)
_MAPPING = re.compile(rb"create\s+user\s+mapping\s+for\s+(" + IDENTIFIER + rb")", re.IGNORECASE)
_TABLESPACE = re.compile(rb"set\s+default_tablespace\s*=\s*(?!')(" + IDENTIFIER + rb")\s*;", re.IGNORECASE)
_DUMPED = re.compile(rb"^-- Dumped (?:from database|by pg_dump) version (\d+)", re.MULTILINE)
_KEY = re.compile(
    rb"alter\s+table\s+(?:only\s+)?" + _NAME + rb"\s+add\s+constraint\s+(" + IDENTIFIER + rb")\s+"
    rb"(?:primary\s+key|unique|exclude)\b",
    re.IGNORECASE,
)
_FOREIGN_KEY = re.compile(
    rb"alter\s+table\s+(?:only\s+)?" + _NAME + rb"\s+add\s+constraint\s+" + IDENTIFIER + rb"\s+foreign\s+key\b",
    re.IGNORECASE,
)
_IDENTITY = re.compile(
    rb"alter\s+table\s(?=.*?\sadd\s+generated\s).*\ssequence\s+name\s+" + _NAME, re.IGNORECASE | re.DOTALL
)
_INDEX = re.compile(
    rb"create\s+(?:unique\s+)?index\s+(" + IDENTIFIER + rb")\s+on\s+(?:only\s+)?" + _NAME, re.IGNORECASE
)
#: What takes up a relation; only the first kinds have rows of a type.
_RELATION_MADE = re.compile(
    rb"create\s+(?:or\s+replace\s+)?(?:unlogged\s+|foreign\s+|recursive\s+|materialized\s+|unique\s+)*"
    rb"(?:(table)|view|(index|sequence))\s",
    re.IGNORECASE,
)
#: Types whose values may be long: a table with a column of such a one has another table for them, with an index.
_LONG = re.compile(rb"\s(?:text|character|jsonb?|bytea|numeric|xml|tsvector|inet|cidr|bit)\b|\[\]", re.IGNORECASE)


@dataclass
class SqlFacts:
    """What was found.

    ``tables`` are those the text creates; ``rows`` counts the rows per table (of COPY; INSERT statements count one
    each). ``relations`` are views and sequences, ``routines`` functions, procedures and aggregates, ``types`` domains
    too, ``indexes`` those of keys too (in the schemas of their tables), ``others`` objects of further kinds (see
    ``objects``). ``roles`` are those named as owner or grantee, or by a user mapping, ``tablespaces`` those that
    something lies in, ``owners`` those in whose name something is done, ``owned`` owners with the schemas that they
    have something in, ``superuser`` what only such a role may make, ``grantors`` roles that grant themselves,
    ``parameters`` what functions set, ``commented`` schemas with a comment. ``relations_made`` and (other) ``objects``
    are how many it makes, each of which is locked. ``versions`` are the major versions of the server and of the pg_dump
    that made it.
    ``characters`` are those that it has, if that was asked for, without those of ASCII.
    """

    characters: set[str] = field(default_factory=set)
    relations_made: int = 0
    objects: int = 0
    tables: set[Table] = field(default_factory=set)
    rows: dict[Table, int] = field(default_factory=dict)
    relations: set[Table] = field(default_factory=set)
    routines: set[Table] = field(default_factory=set)
    types: set[Table] = field(default_factory=set)
    indexes: set[Table] = field(default_factory=set)
    subscriptions: set[str] = field(default_factory=set)
    others: set[tuple[str, Table]] = field(default_factory=set)
    schemas: set[str] = field(default_factory=set)
    extensions: set[str] = field(default_factory=set)
    roles: set[str] = field(default_factory=set)
    tablespaces: set[str] = field(default_factory=set)
    owners: set[str] = field(default_factory=set)
    owned: set[tuple[str, str]] = field(default_factory=set)
    event_triggers: set[str] = field(default_factory=set)
    superuser: set[str] = field(default_factory=set)
    grantors: set[str] = field(default_factory=set)
    parameters: set[str] = field(default_factory=set)
    commented: set[str] = field(default_factory=set)
    versions: tuple[int, ...] = ()
    truncated: bool = False


class SqlSurvey(SqlReader):
    """Reads SQL text, collects ``facts``, and refuses what could not be restored in one transaction.

    ``characters`` asks for all that the text has, for a database that may not have them.
    ``feed`` takes the text; ``end`` is the sink stage that knows when it ended.
    """

    def __init__(self, *, characters: bool = False) -> None:
        super().__init__()
        self.facts = SqlFacts()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace") if characters else None
        self._table: Table | None = None  # of the rows that follow

    def feed(self, chunk: Text) -> None:
        """Read one chunk.

        Raises ``DamagedArchive`` when the text holds what pg_dump never writes: a command of psql, or a statement that
        ends the transaction. ``finish`` does too, and when it ends in the middle of something.
        """
        text = chunk.data if isinstance(chunk, Rows) else chunk
        # Where a chunk ended inside a character, what follows belongs to that, ASCII too.
        if self._decoder and not (text.isascii() and not self._decoder.getstate()[0]):
            self.facts.characters.update(self._decoder.decode(text))
        super().feed(chunk)

    async def end(self, sql: Inlet[Text], use: Callable[[Inlet[Text]], Awaitable[None]] = drain) -> None:
        """Read to the end what was fed already, which another sink may ``use``. Raises as ``finish`` does."""
        await use(sql)
        await in_thread(self.finish)

    def finish(self) -> None:
        """The text ends here."""
        if self._decoder:
            self.facts.characters.update(self._decoder.decode(b"", final=True))
        self.facts.characters = {each for each in self.facts.characters if not each.isascii()}
        super().finish()

    def _piece(self, piece: Piece, *, wanted: bool) -> None:  # noqa: ARG002 - what is left out is counted as well
        if isinstance(piece, Rows):
            if self._table is not None and (count := piece.count):
                self.facts.rows[self._table] += count
        elif isinstance(piece, Sql) and piece.first:
            self._statement(piece.data)

    def _cut_short(self, inside: str) -> DamagedArchive:
        return DamagedArchive("payload", f"The archive's SQL ends in the middle of {inside}.")

    def _refused(self, unfit: Unfit) -> DamagedArchive:
        return DamagedArchive(
            "payload", f"The archive's SQL holds {unfit}, which cannot be restored in one transaction."
        )

    def _statement(self, data: bytes) -> None:
        facts = self.facts
        if not facts.versions and b"-- Dumped" in data:
            facts.versions = tuple(int(version) for version in _DUMPED.findall(data))
        statement = bare(data)
        if not statement:
            return
        word = statement[:6].lower().rstrip()
        if word.startswith((b"copy", b"insert")):
            self._rows_of(statement, inserted=word == b"insert")
        elif word == b"create":
            match = _RELATION_MADE.match(statement)
            long = match and match.group(1) and _LONG.search(statement, statement.find(b"("))
            facts.relations_made += 3 if long else 1 if match else 0
            facts.objects += 0 if match and match.group(2) else 1  # the type of a row
            self._created(statement)
        elif word.startswith(b"alter"):
            self._altered(statement)
        elif word.startswith(b"set"):
            self._add(facts.tablespaces, _TABLESPACE.match(statement))
            self._add(facts.grantors, _GRANTOR.match(statement))
        elif word.startswith(b"commen"):
            self._add(facts.commented, _ON_SCHEMA.match(statement))
        if _GRANTS.match(statement) and (match := _GRANTEE.match(statement)):
            for name in match.group(1).split(b","):
                self._keep(facts.roles, plain(name))
            facts.roles.discard("public")

    def _altered(self, statement: bytes) -> None:
        facts = self.facts
        if key := _KEY.match(statement):
            facts.objects += 1
            facts.relations_made += 1
            self._index(key.group(1), key.group(2))
        elif (match := _IDENTITY.match(statement)) and (sequence := qualified(match.group(1))) is not None:
            self._keep(facts.relations, sequence)
        elif _FOREIGN_KEY.match(statement):
            facts.objects += 1
        if (owner := _OWNER.match(statement)) and (place := _OWNED.match(statement)):
            self._keep(facts.owned, (plain(owner.group(1)), plain(place.group(1))))
        for match in (owner, _FOR_ROLE.match(statement)):
            self._add(facts.roles, match)
            self._add(facts.owners, match)

    def _created(self, statement: bytes) -> None:
        facts = self.facts
        for pattern, names in (
            (_TABLE, facts.tables),
            (_RELATION, facts.relations),
            (_ROUTINE, facts.routines),
            (_TYPE, facts.types),
        ):
            if (match := pattern.match(statement)) and (name := qualified(match.group(1))) is not None:
                self._keep(names, name)
        if _ROUTINE.match(statement):
            body = statement.find(b"\n    AS ")  # pg_dump writes it last
            for name in _PARAMETER.findall(statement, 0, body if body >= 0 else len(statement)):
                self._keep(facts.parameters, plain(name))
        if (match := _FOREIGN.match(statement)) and (name := qualified(match.group(1))) is not None:
            self._keep(facts.others, ("foreign table", name))
        if match := _INDEX.match(statement):
            self._index(match.group(2), match.group(1))
        typed = _TYPE.match(statement)
        if typed and (name := multirange(statement)) is not None:
            self._keep(facts.types, name)
        if facts.extensions and (typed or _TABLE.match(statement)):  # they make what the archive does not
            for name in used_types(statement):
                self._keep(facts.others, ("used type", name))
        if (other := made(statement)) is not None:
            self._keep(facts.others, other)
        self._add(facts.roles, _MAPPING.match(statement))
        self._add(facts.subscriptions, CREATE_SUBSCRIPTION.match(statement))
        self._add(facts.event_triggers, _EVENT_TRIGGER.match(statement))
        if match := _SUPERUSER.match(statement):
            kind, name = filter(None, match.groups())
            self._keep(facts.superuser, f"{' '.join(kind.decode().lower().split())} {name.decode(errors='replace')}")
        self._add(facts.extensions, _EXTENSION.match(statement))
        self._add(facts.schemas, _SCHEMA.match(statement))

    def _index(self, table: bytes, name: bytes) -> None:
        """An index has the schema of its table."""
        if (of := qualified(table)) is not None:
            self._keep(self.facts.indexes, Table(of.schema, plain(name)))

    def _rows_of(self, statement: bytes, *, inserted: bool) -> None:
        table = copied(statement)
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

    def add_rows(self, statement: bytes, count: int) -> None:
        """A COPY statement has so many rows, which were not read."""
        self._rows_of(statement, inserted=False)
        if self._table is not None:
            self.facts.rows[self._table] += count

    def _add(self, names: set[str], match: re.Match[bytes] | None) -> None:
        if match:
            self._keep(names, plain(match.group(1)))

    def _keep(self, names: set[T], name: T) -> None:
        if len(names) < LIMIT:
            names.add(name)
        else:
            self.facts.truncated = True


def copied(statement: bytes) -> Table | None:
    """The table that a COPY or an INSERT fills; None for what is neither."""
    match = _ROWS_OF.match(statement)
    return qualified(match.group(1)) if match else None
