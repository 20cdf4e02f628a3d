"""A copy's names: in the scratch database the tables are given other ones, and pg_dump says what they are then."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import ConfigurationError
from ..server.connect import Connection, connect, one
from ..server.script import script
from ..server.settings import CONTROL_SCHEMA, Table, quote_identifier
from .definition import find_tree, named_parts, owned_sequences

if TYPE_CHECKING:
    from ..server.settings import PostgresSettings

#: Bytes that PostgreSQL keeps of a name.
LONGEST = 63

_OUTSIDE_KEYS = script(__file__, "outside_keys")
_TAKEN = """
SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %(schema)s
UNION SELECT t.typname::text FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname = %(schema)s
UNION SELECT s.stxname::text FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
    WHERE n.nspname = %(schema)s
"""


@dataclass(slots=True)
class Renamed:
    """The copy's tables by the names of the archive, and what it does not have of theirs, in sentences."""

    names: dict[Table, Table] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def names_in(settings: PostgresSettings, schema: str) -> set[str]:
    """The names of relations, types and statistics that are taken in a schema of the target; blocking.

    Raises ``ConfigurationError`` when there is no such schema, and what ``connect`` raises.
    """
    with connect(settings) as connection:
        if (
            schema == CONTROL_SCHEMA
            or not one(connection, "SELECT to_regnamespace(%s)", (quote_identifier(schema),))[0]
        ):
            raise ConfigurationError(
                f"There is no schema {quote_identifier(schema)} for a table ({settings.where()}).",
                hint="Make it, or choose another one.",
                effect="nothing",
            )
        return _taken(connection, schema)


def rename(settings: PostgresSettings, table: Table, new: Table, taken: set[str]) -> Renamed:
    """Rename a table of a scratch database, with all that descends from it and all their parts; blocking.

    ``taken`` are names that none of them may have. What ties it to other tables is taken away: foreign keys from and
    to it, and that it descends from one. Raises what ``connect`` raises.
    """
    found = Renamed()
    with connect(settings) as connection:
        relations = find_tree(connection, [table])
        oids = [each.oid for each in relations]
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote_identifier(new.schema)}".encode())
        for each in relations:
            for above in each.above:
                how = f"{above} DETACH PARTITION {each.table}" if each.partition else f"{each.table} NO INHERIT {above}"
                connection.execute(f"ALTER TABLE {how}".encode())
        # Behind that: what a partition had of its table's keys is its own now.
        for key, rel, mine in connection.execute(_OUTSIDE_KEYS, {"tree": oids}).fetchall():
            connection.execute(f"ALTER TABLE {rel} DROP CONSTRAINT {key}".encode())
            if mine:
                found.warnings.append(f"The copy has no foreign key {key}: it would bind the table that it refers to.")
        parts = named_parts(connection, relations)
        parts += [("SEQUENCE", sequence) for sequence in owned_sequences(connection, relations)]
        taken |= _taken(connection, new.schema) | {new.name}
        _make_room(connection, new, taken)
        # By way of names that nobody has: what goes to another schema meets nothing there, or on its way.
        between = [_set_aside(connection, word, part) for word, part in parts]
        for each in relations:
            name = new.name if each.table == table else _free(each.table.name, table.name, new.name, taken)
            found.names[each.table] = Table(new.schema, name)
            _move(connection, "TABLE", _set_aside(connection, "TABLE", each.table), found.names[each.table])
        for (word, part), aside in zip(parts, between, strict=True):
            final = Table(new.schema, _free(part.name, table.name, new.name, taken))
            if word == "STATISTICS":
                _move(connection, word, aside, final)
            else:  # they went with their table
                _rename(connection, word, Table(new.schema, aside.name), final.name)
    return found


def _set_aside(connection: Connection, word: str, old: Table) -> Table:
    name = f"kleidia_{secrets.token_hex(8)}"
    _rename(connection, word, old, name)
    return Table(old.schema, name)


def _move(connection: Connection, word: str, old: Table, new: Table) -> None:
    if old.schema != new.schema:
        connection.execute(f"ALTER {word} {old} SET SCHEMA {quote_identifier(new.schema)}".encode())
    _rename(connection, word, Table(new.schema, old.name), new.name)


def _rename(connection: Connection, word: str, old: Table, new: str) -> None:
    connection.execute(f"ALTER {word} {old} RENAME TO {quote_identifier(new)}".encode())


def _make_room(connection: Connection, new: Table, taken: set[str]) -> None:
    """The archive may have something else of the copy's name."""
    question = "SELECT to_regclass(%s) IS NOT NULL"
    if one(connection, question, (str(new),))[0]:
        _rename(connection, "TABLE", new, _free(new.name, "", "", taken))


def _taken(connection: Connection, schema: str) -> set[str]:
    return {name for (name,) in connection.execute(_TAKEN, {"schema": schema}).fetchall()}


def _free(name: str, old: str, new: str, taken: set[str]) -> str:
    """A name that nobody has: with the table's new name in the place of its old one, else with a number."""
    found = next(each for each in _candidates(name, old, new) if each not in taken)
    taken.add(found)
    return found


def _candidates(name: str, old: str, new: str) -> Iterator[str]:
    begun = new + name[len(old) :] if old and name.startswith(old) else name
    yield _cut(begun, "")
    for number in range(1, 1_000_000):
        yield _cut(begun, f"_{number}")


def _cut(name: str, ending: str) -> str:
    return name.encode()[: LONGEST - len(ending)].decode(errors="ignore") + ending
