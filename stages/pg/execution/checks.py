"""CHECK constraints that call functions of the archive, made when all rows are there.

Such a function may look at another table, whose rows come later, or for a name that pg_dump's empty search_path hides.
Before the first row these constraints are dropped, and at the end made again: as they were where the rows fit, else
NOT VALID with a warning. What they are is read from the server's catalog.

Those of preserved tables and their partitions are dropped as well; what makes these tables like the remembered ones
makes their constraints, as they are now. A domain that is used inside of arrays, composite types or ranges is given no
constraint that the server would have to check: one of it stays, unless its functions may need more than their values.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..inventory.obstacles import INSIDE
from ..server.script import script
from ..server.wire import OWN_PATH, Wire
from .arrays import array

if TYPE_CHECKING:
    from ..server.refusal import StatementRefused
    from ..server.settings import Table

#: The constraints that this transaction made, that are no copy of a parent's, and that call a function in a language
#: which finds names while it runs.
_HELD = script(__file__, "held_checks", inside=INSIDE).encode()
_EXISTS = b"""
SELECT '' FROM pg_catalog.pg_constraint c LEFT JOIN pg_catalog.pg_class t ON t.oid = c.conrelid
LEFT JOIN pg_catalog.pg_type d ON d.oid = c.contypid
JOIN pg_catalog.pg_namespace n ON n.oid = coalesce(t.relnamespace, d.typnamespace)
WHERE c.contype = 'c' AND pg_catalog.quote_ident(c.conname) = $2
AND pg_catalog.format('%s %s.%s', CASE WHEN c.contypid = 0 THEN 'TABLE' ELSE 'DOMAIN' END,
           pg_catalog.quote_ident(n.nspname), pg_catalog.quote_ident(coalesce(t.relname, d.typname))) = $1
"""
_UNCHECKED = ("NOT VALID", "NOT ENFORCED")
#: What the server says of a domain that is used inside of other types, and what it means.
UNABLE = "0A000"
NOT_INSIDE = "the server checks no values inside of arrays, composite types and ranges"


class HeldChecks:
    """Drops them before the rows (``hold``), makes them again after (``make``). Both raise ``StatementRefused``.

    ``preserved`` are the tables that keep their rows.
    """

    def __init__(self, wire: Wire, preserved: Iterable[Table]) -> None:
        self._wire = wire
        self._preserved = array(map(str, preserved))
        self._held: list[tuple[str, str, str, str]] = []
        self._path = ""  # the archive's, or the one asked for: functions resolve names by it

    def hold(self) -> None:
        """Drop those that there are; a child's own copy shows when its parent's is gone."""
        ((self._path,),) = self._wire.execute(b"SELECT pg_catalog.current_setting('search_path')")
        with self._wire.own_path():
            while found := self._wire.execute(_HELD, self._preserved):
                for of, name, definition, comment, preserved in found:
                    # Behind a savepoint: before the next one, servers from 15 on want it to have ended.
                    if refused := self._wire.attempt(f"ALTER {of} DROP CONSTRAINT {name}".encode()):
                        raise refused
                    if preserved != "true":
                        self._held.append((of, name, definition, comment))

    def make(self) -> list[str]:
        """Make them again, children first; what is left NOT VALID, as sentences."""
        said: list[str] = []
        for of, name, definition, comment in reversed(self._held):
            self._wire.script(OWN_PATH)
            if self._wire.execute(_EXISTS, of, name):
                continue
            self._wire.execute(b"SELECT pg_catalog.set_config('search_path', $1, false)", self._path)
            add = f"ALTER {of} ADD CONSTRAINT {name} {definition}"
            refused = self._wire.attempt(add.encode())
            if refused is not None:
                unchecked = "" if definition.endswith(_UNCHECKED) else " NOT VALID"
                self._wire.execute(f"{add}{unchecked}".encode())
                said.append(_unchecked(of, name, refused))
            if comment:
                on = f"{name} ON {of.removeprefix('TABLE ')}"
                self._wire.execute(f"COMMENT ON CONSTRAINT {on} IS {comment}".encode())
        return said


def _unchecked(of: str, name: str, refused: StatementRefused) -> str:
    kind, _, named = of.partition(" ")
    if kind == "DOMAIN" and refused.code == UNABLE:
        return (
            f"The constraint {name} of {named} is NOT VALID now: {NOT_INSIDE}. It holds for new values; VALIDATE "
            "CONSTRAINT works only when no column is left that has the domain inside."
        )
    return (
        f"The constraint {name} of {named} is NOT VALID now, since it could not be checked: "
        f"{refused.reason()}. ALTER {of} VALIDATE CONSTRAINT {name} checks it."
    )
