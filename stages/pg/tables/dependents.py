"""The views that depend on tables: dropped before the tables are made anew, and made again behind them.

What they are is pg_dump's word; the server is the one that says whether they still fit. But for functions (see there)
nothing else that depends on a table is made again: a child table, or a policy of another table, belongs to somebody who
has to decide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..server.connect import connect
from ..server.questions import answered
from ..server.script import script
from ..server.settings import Table
from .definition import dumped, find_statistics, with_statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..server.connect import Connection
    from ..server.settings import PostgresSettings
    from ..server.tools import Tool

_DEPENDENTS = script(__file__, "dependents")


@dataclass(frozen=True, slots=True)
class View:
    """A view, or one that is ``materialized``; then ``filled`` says whether it has rows.

    ``quoted`` and ``owner`` are as SQL writes them.
    """

    name: Table
    quoted: str
    oid: int
    materialized: bool
    filled: bool
    owner: str

    @property
    def word(self) -> str:
        """What it is, in SQL."""
        return "MATERIALIZED VIEW" if self.materialized else "VIEW"

    def __str__(self) -> str:
        return f"{self.word.lower()} {self.quoted}"


@dataclass(frozen=True, slots=True)
class Dependents:
    """Views of tables, in the order in which they can be made, and the statements that make them."""

    views: tuple[View, ...] = ()
    statements: tuple[bytes, ...] = ()

    @property
    def locks(self) -> str:
        """SQL that waits until nobody else uses or alters them, and changes nothing: they have this owner already.

        The last one first, as who reads it comes by the others.
        """
        return "\n".join(f"ALTER {each.word} {each.quoted} OWNER TO {each.owner};" for each in reversed(self.views))

    @property
    def drops(self) -> tuple[str, ...]:
        """SQL that drops them one by one, and nothing else with them."""
        return tuple(f"DROP {each.word} {each.quoted}" for each in reversed(self.views))

    @property
    def refreshes(self) -> tuple[str, ...]:
        """SQL that fills the materialized ones again."""
        return tuple(f"REFRESH {each.word} {each.quoted}" for each in self.filled)

    @property
    def filled(self) -> tuple[View, ...]:
        """The materialized views that have rows."""
        return tuple(each for each in self.views if each.materialized and each.filled)


#: No views.
NONE = Dependents()


def find_views(connection: Connection, oids: Sequence[int]) -> tuple[View, ...]:
    """Those of these tables. Raises what ``connect`` maps."""
    return tuple(
        View(Table(schema, name), *rest) for schema, name, *rest in connection.execute(_DEPENDENTS, (oids,)).fetchall()
    )


async def describe(settings: PostgresSettings, tool: Tool, dependents: Dependents) -> Dependents:
    """The same with the statements that make them, by pg_dump. Raises ``DatabaseError``."""
    views = dependents.views

    def ask() -> tuple[bytes, ...]:
        with connect(settings) as connection:
            return find_statistics(connection, [each.oid for each in views])

    if not views:
        return dependents
    made = await dumped(settings, tool, [each.name for each in views])
    return replace(dependents, statements=with_statistics(made, await answered(ask, limit=settings.query_timeout)))
