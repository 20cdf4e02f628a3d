"""Preserved tables: they keep their rows and everything else through a restore, inside its transaction.

Before the archive's SQL: each preserved table is locked, its parts (see ``shape.sql``), rows and sequence values are
remembered in temporary tables. Every foreign key of the database is remembered and dropped, since the archive drops
tables in an order that knows only its own; so are the views on preserved tables. A preserved table that the archive
does not have is dropped too, or it would hold on to the types, functions and sequences that the archive replaces.

In the archive's SQL: foreign keys are held back with their comments, for preserved tables are still empty, and so that
rows which break a key do not end the restore.

After it: what the archive made of a preserved table is made like the remembered one, the rows go back, then come
sequence values, views, and the foreign keys: validated where the rows allow it, else left NOT VALID with a warning.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection
from dataclasses import dataclass, field

from ..objects import IDENTIFIER, qualified
from ..server.connect import Connection, connect, one
from ..server.preflight import find_tables, with_children
from ..server.settings import PostgresSettings, Table, quote_literal
from .scripts import (
    ADD_LANGUAGE,
    BEFORE,
    CREATE_EARLY,
    DROP_LANGUAGE,
    ENABLE,
    ENUMS,
    EXACT,
    FINISH,
    INEXACT,
    KEYS,
    PREPARE,
    QUIET,
    SHAPE,
    SILENT,
    TABLES,
    UNQUIET,
)

_NAME = IDENTIFIER + rb"(?:\." + IDENTIFIER + rb")?"
_FOREIGN_KEY = re.compile(
    rb"(alter\s+table\s+(?:if\s+exists\s+)?(?:only\s+)?(" + _NAME + rb")\s+"
    rb"add\s+constraint\s+(" + IDENTIFIER + rb")\s+"
    rb"foreign\s+key\s*\(.*\)\s*references\s+(" + _NAME + rb")[\s(].*?)\s*;\Z",
    re.IGNORECASE | re.DOTALL,
)
_COMMENT = re.compile(
    rb"comment\s+on\s+constraint\s+(" + IDENTIFIER + rb")\s+on\s+(" + _NAME + rb")\s+is\s", re.IGNORECASE
)
#: pg_dump writes the name that a key's trigger has in the old database; no other has one of that name.
_KEY_TRIGGER = re.compile(
    rb"alter\s+table\s+(?:only\s+)?(" + _NAME + rb")\s+(?:disable|enable(?:\s+always|\s+replica)?)\s+trigger\s+"
    rb'"RI_ConstraintTrigger_[ac]_\d+"\s*;\Z',
    re.IGNORECASE,
)
_EVENT_TRIGGER = re.compile(
    rb"alter\s+event\s+trigger\s+(" + IDENTIFIER + rb")\s+(enable(?:\s+always|\s+replica)?)\s*;\Z", re.IGNORECASE
)
_ENUM = re.compile(rb"(create\s+type\s+(" + _NAME + rb")\s+as\s+enum\s*\()(.*)(\)\s*;)\Z", re.IGNORECASE | re.DOTALL)
_LITERAL = re.compile(rb"[eE]?'(?:[^']|'')*'")
_VIEW = re.compile(rb"create\s+(?:or\s+replace\s+)?(?:recursive\s+)?(?:materialized\s+)?view\b", re.IGNORECASE)


@dataclass
class _Key:
    """A foreign key that was held back. ``role``: ``of`` a preserved table, ``into`` one, or the ``archive``'s own."""

    table: Table
    name: str
    make: str
    role: str
    comment: str = ""

    def __str__(self) -> str:
        values = (str(self.table), self.name, self.make, self.role, self.comment)
        return f"({', '.join(map(_literal, values))})"


@dataclass
class Preservation:
    """What one restore preserves: ``keep`` are the tables that exist now, ``absent`` those the archive lacks.

    ``names`` are the tables' names as configured: those that do not exist now will be there afterwards, empty.
    ``firing`` are the event triggers that this role cannot disable. ``quiet`` is the script that disables the others,
    ``language`` whether plpgsql must be made, which the scripts are written in. ``labels`` are the values of enums that
    rows to keep may have, each with the table.
    """

    names: tuple[Table, ...] = ()
    keep: tuple[Table, ...] = ()
    absent: frozenset[Table] = frozenset()
    firing: tuple[str, ...] = ()
    quiet: str = ""
    language: bool = False
    labels: dict[Table, tuple[Table, list[str]]] = field(default_factory=dict)
    _held: dict[tuple[Table, str], _Key] = field(default_factory=dict)
    _late: dict[str, str] = field(default_factory=dict)
    _warnings: dict[str, None] = field(default_factory=dict)

    def first(self) -> str:
        """The script that must be the first of the transaction: then no event trigger runs, and plpgsql is there."""
        add = ADD_LANGUAGE if self.language else ""
        return self.quiet + add if self.quiet == SILENT else add + self.quiet

    def before(self) -> str:
        """The script that goes before the archive's SQL."""
        rows = ", ".join(
            f"({number}, {_literal(str(table))}, {'true' if table in self.absent else 'false'})"
            for number, table in enumerate(self.keep, 1)
        )
        keep = f"INSERT INTO pg_temp.kleidia_keep (n, rel, absent) VALUES {rows};\n" if rows else ""  # noqa: S608
        return SHAPE + TABLES + keep + EXACT + PREPARE + INEXACT

    def statement(self, statement: bytes) -> list[bytes]:
        """What is executed in place of a statement of the archive, each alone: nothing for what is held back.

        ``statement`` has no blanks or comments before it, and ends with its semicolon. Before the first view on a
        preserved table that the archive lacks, that table is made.
        """
        with contextlib.suppress(UnicodeDecodeError):  # of another encoding: none of pg_dump's that we make
            if self._later(statement):
                return []
            if self.labels and (match := _ENUM.match(statement)):
                return [self._widened(match)]
        if self.absent and _VIEW.match(statement):
            early = [n for n, table in enumerate(self.keep, 1) if table in self.absent and _mentions(statement, table)]
            return [*(CREATE_EARLY.format(n=n).encode() for n in early), statement]
        return [statement]

    def after(self, search_path: str) -> str:
        """The script that goes after the archive's SQL; ``search_path`` is the one that was asked for, or empty."""
        finish = FINISH.replace(":search_path", _literal(search_path))
        return f"{self._remembered()}{finish}{KEYS}"

    def keys(self) -> str:
        """The script that makes the foreign keys again, where no table is preserved."""
        return f"{self._remembered()}{KEYS}"

    def _remembered(self) -> str:
        rows = ",\n".join(map(str, self._held.values()))
        held = f"INSERT INTO pg_temp.kleidia_held (rel, name, make, role, comment) VALUES\n{rows};\n" if rows else ""
        warnings = "".join(
            f"INSERT INTO pg_temp.kleidia_warning (message) VALUES ({_literal(warning)});\n"  # noqa: S608
            for warning in self._warnings
        )
        return f"{BEFORE}{held}{warnings}"

    def last(self) -> str:
        """The script that goes last of all: from it on event triggers may run."""
        unquiet = UNQUIET if self.quiet == QUIET else ""
        late = "".join(ENABLE.format(state=how, name=_literal(name)) for name, how in self._late.items())
        language = DROP_LANGUAGE if self.language else ""
        return f"{unquiet}{late}{language}"

    def _later(self, statement: bytes) -> bool:
        """Whether the statement is held back. Raises ``UnicodeDecodeError``."""
        if match := _FOREIGN_KEY.match(statement):
            return self._hold(match)
        if match := _COMMENT.match(statement):
            table = qualified(match.group(2))
            if table and (key := self._held.get((table, _plain(match.group(1))))):
                key.comment = statement.decode()
                return True
        elif match := _KEY_TRIGGER.match(statement):
            if table := qualified(match.group(1)):
                self._warnings[_FORGOTTEN.format(table)] = None
            return True
        elif match := _EVENT_TRIGGER.match(statement):  # or it would run for our own statements
            self._late[_plain(match.group(1))] = " ".join(match.group(2).decode().split())
            return True
        return False

    def _widened(self, match: re.Match[bytes]) -> bytes:
        """An enum of the archive with the values that rows to keep may have: none can be added and used later on."""
        name = qualified(match.group(2))
        if name is None or name not in self.labels:
            return match.group()
        table, wanted = self.labels[name]
        given = _LITERAL.findall(match.group(3))
        labels = [_value(literal) for literal in given]
        behind = ""
        for label in wanted:
            if label not in labels:
                place = labels.index(behind) + 1 if behind in labels else 0
                labels.insert(place, label)
                given.insert(place, quote_literal(label).encode())
                self._warnings[
                    f"The type {name} was given the value {quote_literal(label)}, which rows of the preserved table "
                    f"{table} have."
                ] = None
            behind = label
        return match.group(1) + b", ".join(given) + match.group(4)

    def _hold(self, match: re.Match[bytes]) -> bool:
        """Whether the key is held back: any whose tables have their schemas, and every one of a preserved table.

        Raises ``UnicodeDecodeError``.
        """
        table, referenced = qualified(match.group(2)), qualified(match.group(4))
        if table is None or referenced is None:
            return False
        if table in self.keep:
            role = "of"  # the remembered one is made again
        elif referenced in self.keep or any(name.matches(referenced) for name in self.names):
            role = "into"
        elif table.schema and referenced.schema:
            role = "archive"
        else:
            return False
        name, make = _plain(match.group(3)), match.group(1).decode()
        self._held[table, name] = _Key(table, name, make, role)
        return True


_FORGOTTEN = (
    "A foreign key's trigger on {} was switched off, or on, in the archived database. pg_dump names it in a way that "
    "no other database knows: the key is in force there now."
)


def plan_preservation(
    settings: PostgresSettings, names: tuple[str, ...], archive: Collection[Table] | None
) -> Preservation:
    """Ask what there is to preserve; blocking. ``archive`` are the tables that the archive makes, if that is known.

    Raises what ``connect`` raises.
    """
    with connect(settings) as connection:
        keep = with_children(connection, find_tables(connection, names))
        absent = frozenset() if archive is None else frozenset(keep) - frozenset(archive)
        labels: dict[Table, tuple[Table, list[str]]] = {}
        for table in keep:
            for schema, name, values in connection.execute(ENUMS, (str(table),)):
                labels.setdefault(Table(schema, name), (table, values))
        quiet, firing = silence(connection)
        language = one(connection, "SELECT NOT EXISTS (SELECT FROM pg_language WHERE lanname = 'plpgsql')")[0]
    return Preservation(tuple(map(Table.parse, names)), keep, absent, firing, quiet, language, labels)


def silence(connection: Connection) -> tuple[str, tuple[str, ...]]:
    """How a restore as this role disables event triggers, and those that it cannot disable."""
    version = connection.info.server_version
    replica, able = (_may_set(connection, name) for name in ("session_replication_role", "event_triggers"))
    if version >= 170000 and able:
        return SILENT, ()
    rows = connection.execute(
        "SELECT evtname::text, pg_has_role(evtowner, 'USAGE') FROM pg_event_trigger"
        " WHERE evtevent <> 'login' AND evtenabled = ANY (%s::\"char\"[]) ORDER BY 1",
        (["A", "R"] if replica else ["A", "O"],),
    ).fetchall()
    return QUIET if any(mine for _, mine in rows) else "", tuple(name for name, mine in rows if not mine)


def _may_set(connection: Connection, parameter: str) -> bool:
    """Whether this role may set a parameter that is a superuser's."""
    if one(connection, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")[0]:
        return True
    if connection.info.server_version < 150000:  # the right came with it
        return False
    return bool(one(connection, "SELECT has_parameter_privilege(%s, 'SET')", (parameter,))[0])


def _plain(name: bytes) -> str:
    """An identifier without its quotes. Raises ``UnicodeDecodeError``."""
    text = name.decode()
    return text[1:-1].replace('""', '"') if text.startswith('"') else text.lower()


def _value(literal: bytes) -> str:
    """What a constant as pg_dump writes it means."""
    text = literal.decode(errors="replace")
    inner = text[text.index("'") + 1 : -1].replace("''", "'")
    return inner if text.startswith("'") else inner.replace("\\\\", "\\")


def _literal(text: str) -> str:
    """A text constant in ASCII: it means the same whatever encoding the server takes it to be in."""
    if text.isascii():
        return quote_literal(text)
    return f"pg_catalog.convert_from(pg_catalog.decode('{text.encode().hex()}', 'hex'), 'UTF8')"


def _mentions(statement: bytes, table: Table) -> bool:
    """Whether a statement holds the table's qualified name, quoted or not."""
    quoted, plain = str(table).encode(), f"{table.schema}.{table.name}".encode()
    return quoted in statement or re.search(rb"(?<![\w$\"])" + re.escape(plain) + rb"(?![\w$])", statement) is not None
