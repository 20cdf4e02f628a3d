"""The archive's cleaning part: everything that it will make is taken away first, whatever it is now.

pg_dump writes DROP and ALTER … DROP for the objects that were there when it ran. Here some are gone, are of another
kind, or something newer depends on them; then a statement fails that is not needed. Each runs behind a savepoint, and
at the end of the part what still has a name that the archive needs is dropped, or moved out of the way when it belongs
to a table that stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

import psycopg

from ....formats.sql.grammar import DROP_DEFAULT, DROP_RELATION, DROP_ROUTINE
from ..inventory.named import home
from ..inventory.obstacles import find_obstacles, find_silent
from ..server.refusal import DEPENDED, MISSING, TAKEN, StatementRefused
from ..server.script import script
from ..server.settings import Table, quote_identifier
from .arrays import array
from .checks import NOT_INSIDE, UNABLE

if TYPE_CHECKING:
    from ..server.connect import Connection
    from ..server.wire import Wire
    from ..survey import SqlFacts

T = TypeVar("T")

#: Rows of (oid, kind, name) of everything that still has a name which the archive needs, dependent objects first.
#: ``$1``, ``$2``: schemas and names of relations, ``$3``, ``$4``: of types. Indexes and sequences take no type's name.
REMAINING = script(__file__, "remaining").encode()
#: Indexes, statistics, and sequences that a column owns, whose names the archive needs and whose tables stay, since
#: their names it does not need. ``$1``, ``$2``: schemas and names of all relations that it needs, ``$3``, ``$4``: of
#: statistics.
PARTS = script(__file__, "parts").encode()
#: Partitions of tables ``$1``, ``$2`` (schemas and names) that are not among them, however deep.
PARTITIONS = script(__file__, "partitions").encode()

_KINDS = {
    "r": "TABLE",
    "p": "TABLE",
    "v": "VIEW",
    "m": "MATERIALIZED VIEW",
    "S": "SEQUENCE",
    "f": "FOREIGN TABLE",
    "c": "TYPE",
    "i": "INDEX",
    "I": "INDEX",
    "type": "TYPE",
    "statistics": "STATISTICS",
}
#: Kinds that go with a table.
_PARTS = {"INDEX", "SEQUENCE"}
_SYNTAX = "42601"
#: The code of "cannot drop inherited constraint", among others.
_INHERITED = "42P16"
_LONGEST = 63


class Cleaning:
    """Runs the statements of the cleaning part. ``warnings`` are what was dropped or renamed for it."""

    def __init__(self, wire: Wire, connection: Connection, facts: SqlFacts, preserved: tuple[Table, ...]) -> None:
        self._wire = wire
        self._connection = connection
        self._facts = facts
        self._preserved = preserved
        self._later: list[bytes] = []
        self._looked = False
        self._dropped: list[tuple[str, str]] = []
        self._warnings: list[str] = []

    def run(self, statement: bytes) -> None:
        """Run one statement. Raises ``StatementRefused`` for what is no matter of something that is not there."""
        refused = self._wire.attempt(statement)
        if refused is None:
            return
        if refused.code == DEPENDED:
            self._drop_obstacles(refused)
            if self._wire.attempt(statement) is not None:
                self._later.append(statement)
        elif refused.code == "42809" and (match := DROP_ROUTINE.match(statement)):
            if again := self._wire.attempt(b"DROP ROUTINE" + match.group(2)):
                raise again
        elif refused.code in MISSING or (refused.code == _SYNTAX and DROP_DEFAULT.match(statement)):
            if DROP_RELATION.match(statement):
                self._later.append(statement)
        else:
            raise refused

    def begin(self, preserved: tuple[Table, ...]) -> None:
        """Rename what belongs to tables that stay, or the archive would drop it; warn of what is dropped with others.

        ``preserved`` are the tables that keep their rows. Raises ``StatementRefused``.
        """
        tables = [home(each) for each in self._facts.tables if home(each) not in preserved]
        lost = self._wire.execute(PARTITIONS, *_arrays(tables))
        self._warnings += [
            f"The table {name}, which the archive does not know, was dropped with the table that it is a partition of."
            for (name,) in lost
        ]
        named = [*self._relations(), *preserved]
        for kind, name, plain in self._wire.execute(PARTS, *_arrays(named), *_arrays(self._others("statistics"))):
            self._rename(_KINDS[kind], name, plain)
        for text, before, again in self._ask(find_silent, b""):
            if before and (refused := self._wire.attempt(before.encode())):
                raise refused
            self._dropped.append((text, again))

    def finish(self) -> None:
        """The part ends here. Raises ``StatementRefused`` when something stays that is in the way."""
        while self._later and (left := [each for each in self._later if self._wire.attempt(each)]) != self._later:
            self._later = left
        remaining = self._remaining()
        while remaining:
            failed = self._remove_all(remaining)
            left_over = self._remaining()
            if len(left_over) == len(remaining):
                if failed is None or failed.code != DEPENDED or self._looked:
                    raise failed or StatementRefused(b"", "42710", f"{remaining[0][2]} cannot be replaced")
                self._drop_obstacles(failed)
            remaining = left_over
        for statement in self._later:
            refused = self._wire.attempt(statement)
            if refused is not None and refused.code == DEPENDED and not DROP_RELATION.match(statement):
                raise refused  # with its dependants; its CREATE would only fail with "already exists"

    def _remove_all(self, remaining: list[tuple[str, ...]]) -> StatementRefused | None:
        """Drop everything that is in the way; what could not be dropped last."""
        failed: StatementRefused | None = None
        for _, kind, name, *_ in remaining:
            word = _KINDS[kind]
            refused = self._wire.attempt(f"DROP {word} {name}".encode())
            if refused is None and word not in _PARTS:
                self._warnings.append(
                    f"The {word.lower()} {name}, in whose place the archive has something else, was dropped."
                )
            elif refused is not None and refused.code not in MISSING:
                failed = refused
        return failed

    def _rename(self, kind: str, name: str, plain: str) -> None:
        refused: StatementRefused | None = None
        for number in range(1, 100):
            ending = f"_old{number}"
            new = plain.encode()[: _LONGEST - len(ending)].decode(errors="ignore") + ending
            refused = self._wire.attempt(f"ALTER {kind} {name} RENAME TO {quote_identifier(new)}".encode())
            if refused is None:
                self._warnings.append(
                    f"The {kind.lower()} {name} belongs to a table that the archive does not know: it is {new} now, "
                    "since the archive needs its name."
                )
                return
            if refused.code not in TAKEN:
                break
        assert refused is not None
        raise refused

    def _drop_obstacles(self, refused: StatementRefused) -> None:
        """Drop what the archive does not know and has no rows. Raises ``StatementRefused`` when something has."""
        if self._looked:
            return
        self._looked = True
        found = self._ask(find_obstacles, refused.statement)
        if found.keeps:
            detail = "\n".join(found.keeps)
            raise StatementRefused(refused.statement, refused.code, refused.message, detail)
        # A constraint that a table declares and inherits as well can be dropped when its parent's is gone.
        left = [statement for _, statement, _ in found.drops if statement]
        while left and (inherited := [each for each in left if self._is_inherited(each)]) != left:
            left = inherited
        self._dropped += [(text, again) for text, _, again in found.drops]

    def _is_inherited(self, statement: str) -> bool:
        """Drop something; whether it stays, for it is inherited. Raises ``StatementRefused``."""
        refused = self._wire.attempt(statement.encode())
        if refused is not None and refused.code not in MISSING:
            raise refused
        return refused is not None and refused.code == _INHERITED  # what is missing by now went with another of them

    def _ask(self, ask: Callable[[Connection, SqlFacts, list[int]], T], statement: bytes) -> T:
        """Ask the catalog about what the archive names; ``statement`` is what it is asked for."""
        preserved = self._oids(self._preserved)
        try:
            with self._wire.own_path():
                return ask(self._connection, self._facts, preserved)
        except psycopg.Error as exc:
            raise StatementRefused(statement, exc.sqlstate or "", exc.diag.message_primary or "") from None

    def warnings(self) -> list[str]:
        """Make again what can be of the tables that stay, when the archive is there; what was lost, as sentences."""
        loosened, lost = self._make_again()
        for text, again in self._dropped:
            if again in loosened:
                why = NOT_INSIDE if loosened[again].code == UNABLE else loosened[again].reason()
                self._warnings.append(
                    f"Made again as NOT VALID, since the archive replaces what it needs: {text} ({why})."
                )
            elif again in lost or not again:
                why = f" ({lost[again].reason()})" if again else ""
                self._warnings.append(
                    f"Dropped, since the archive does not know it and replaces what it needs: {text}{why}."
                )
        return self._warnings

    def _make_again(self) -> tuple[dict[str, StatementRefused], dict[str, StatementRefused]]:
        """What could only be made again as NOT VALID, and what could not, with the reasons.

        One may need another, as an heir's comment its parent's constraint.
        """
        left = list(dict.fromkeys(again for _, again in self._dropped if again))
        loosened: dict[str, StatementRefused] = {}
        while True:
            lost = {each: why for each in left if (why := self._wire.attempt(each.encode())) is not None}
            if len(lost) == len(left):
                unchecked = [each for each in lost if self._made_unchecked(each)]
                loosened |= {each: lost.pop(each) for each in unchecked}
                if not unchecked:
                    return loosened, lost
            left = list(lost)

    def _made_unchecked(self, again: str) -> bool:
        """Whether a domain's constraint could be made as NOT VALID: its values do not fit, or lie inside of others."""
        constraint = again.startswith("ALTER DOMAIN ") and not again.endswith(" NOT VALID")
        return constraint and self._wire.attempt(f"{again} NOT VALID".encode()) is None

    def _oids(self, tables: Iterable[Table]) -> list[int]:
        question = b"SELECT pg_catalog.to_regclass($1)::oid::text"
        return [int(oid) for table in tables for ((oid,),) in [self._wire.execute(question, str(table))] if oid]

    def _remaining(self) -> list[tuple[str, ...]]:
        types = self._made() | {*map(home, self._facts.types)} | self._others("used type")
        return self._wire.execute(REMAINING, *_arrays(self._relations()), *_arrays(types))

    def _made(self) -> set[Table]:
        return {*map(home, self._facts.tables), *map(home, self._facts.relations)}

    def _relations(self) -> set[Table]:
        return self._made() | {*map(home, self._facts.indexes)} | self._others("composite type")

    def _others(self, kind: str) -> set[Table]:
        return {home(name) for of, name in self._facts.others if of == kind}


def _arrays(names: Iterable[Table]) -> tuple[str, str]:
    """Schemas and names."""
    ordered = sorted(names)
    return array(each.schema for each in ordered), array(each.name for each in ordered)
