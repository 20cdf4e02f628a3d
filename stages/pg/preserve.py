"""Preserved tables: they keep their rows and everything else through a restore, inside its transaction.

Before the archive's SQL: each preserved table is locked, its parts (see ``shape``), rows and sequence values are
remembered in temporary tables. Every foreign key of the database is remembered and dropped, since the archive drops
tables in an order that knows only its own; so are the views on preserved tables. A preserved table that the archive
does not have is dropped too, or it would hold on to the types, functions and sequences that the archive replaces.

In the archive's SQL: foreign keys of and into preserved tables are held back, for those tables are still empty.

After it: what the archive made of a preserved table is made like the remembered one, the rows go back, then come
sequence values, views, and the foreign keys: validated where the rows allow it, else left NOT VALID with a warning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .connect import connect, one
from .preflight import find_tables, with_heirs
from .preserve_sql import CREATE_EARLY, FINISH, PREPARE, TABLES, TOLERANT
from .settings import CONTROL_SCHEMA, PostgresSettings, Table, quote_literal
from .shape import SHAPE

if TYPE_CHECKING:
    from collections.abc import Collection

_IDENTIFIER = rb'(?:"(?:[^"]|"")+"|[^\s".;,()]+)'
_NAME = _IDENTIFIER + rb"(?:\." + _IDENTIFIER + rb")?"
_FOREIGN_KEY = re.compile(
    rb"alter\s+table\s+(?:if\s+exists\s+)?(?:only\s+)?(" + _NAME + rb")\s+add\s+constraint\s+(" + _IDENTIFIER + rb")\s+"
    rb"(foreign\s+key\s*\(.*\)\s*references\s+(" + _NAME + rb")[\s(].*?)\s*;\Z",
    re.IGNORECASE | re.DOTALL,
)
_DROP_CONSTRAINT = re.compile(
    rb"alter\s+table\s+if\s+exists\s+(?:only\s+)?" + _NAME + rb"\s+drop\s+constraint\s+if\s+exists\s", re.IGNORECASE
)
_VIEW = re.compile(rb"create\s+(?:or\s+replace\s+)?(?:recursive\s+)?(?:materialized\s+)?view\b", re.IGNORECASE)


@dataclass
class Preservation:
    """What one restore preserves: ``keep`` are the tables that exist now, ``absent`` those the archive lacks.

    ``names`` are the tables' names as configured: those that do not exist now will be there afterwards, empty.
    """

    names: tuple[Table, ...] = ()
    keep: tuple[Table, ...] = ()
    absent: frozenset[Table] = frozenset()
    needed: bool = False
    _held: list[tuple[str, str, str]] = field(default_factory=list)

    def before(self) -> str:
        """The script that goes before the archive's SQL."""
        if not self.needed:
            return ""
        rows = ", ".join(
            f"({number}, {quote_literal(str(table))}, {'true' if table in self.absent else 'false'})"
            for number, table in enumerate(self.keep, 1)
        )
        keep = f"INSERT INTO pg_temp.kleidia_keep (n, rel, absent) VALUES {rows};\n" if rows else ""  # noqa: S608
        control = quote_literal(CONTROL_SCHEMA)
        return SHAPE + TABLES + keep + PREPARE.replace(":control", control) + "SET search_path TO DEFAULT;\n"

    def statement(self, data: bytes, statement: bytes) -> bytes:
        """What of a statement of the archive goes on: all, or for a foreign key that is held back its line ends only.

        Before the first view on a preserved table that the archive lacks, that table is made. A key of a partition
        cannot be dropped, though pg_dump tries to (and drops its table right after): that is not an error.
        """
        if match := _FOREIGN_KEY.match(statement):
            table, referenced = _table(match.group(1)), _table(match.group(4))
            if table in self.keep:  # the remembered ones are made again
                return b"\n" * data.count(b"\n")
            if referenced in self.keep or any(name.matches(referenced) for name in self.names):
                rel, name, definition = (match.group(n).decode() for n in (1, 2, 3))
                self._held.append((rel, name, definition))
                return b"\n" * data.count(b"\n")
        elif _DROP_CONSTRAINT.match(statement):
            before = data[: len(data) - len(statement)]
            return before + TOLERANT.replace(":statement", statement.decode()).encode()
        elif self.absent and _VIEW.match(statement):
            early = [n for n, table in enumerate(self.keep, 1) if table in self.absent and _mentions(statement, table)]
            return b"".join(CREATE_EARLY.replace(":n", str(n)).encode() for n in early) + data
        return data

    def after(self) -> str:
        """The script that goes after the archive's SQL."""
        if not self.needed:
            return ""
        keys = (", ".join(map(quote_literal, key)) for key in self._held)
        return "".join(f"INSERT INTO pg_temp.kleidia_held VALUES ({key});\n" for key in keys) + FINISH  # noqa: S608


def plan(settings: PostgresSettings, names: tuple[str, ...], archive: Collection[Table] | None) -> Preservation:
    """Ask what there is to preserve; blocking. ``archive`` are the tables that the archive makes, if that is known.

    Raises what ``connect`` raises.
    """
    with connect(settings) as connection:
        keep = with_heirs(connection, find_tables(connection, names))
        foreign_keys = one(connection, "SELECT EXISTS (SELECT FROM pg_constraint WHERE contype = 'f')")[0]
    absent = frozenset() if archive is None else frozenset(keep) - frozenset(archive)
    return Preservation(tuple(map(Table.parse, names)), keep, absent, needed=bool(names or foreign_keys))


def _table(name: bytes) -> Table:
    return Table.parse(name.decode())


def _mentions(statement: bytes, table: Table) -> bool:
    """Whether a statement holds the table's qualified name, quoted or not."""
    quoted, plain = str(table).encode(), f"{table.schema}.{table.name}".encode()
    return quoted in statement or re.search(rb"(?<![\w$\"])" + re.escape(plain) + rb"(?![\w$])", statement) is not None
