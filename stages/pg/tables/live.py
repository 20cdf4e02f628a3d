"""What there is of the tables in the target, before they come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..server.connect import connect, one
from ..server.questions import answered
from ..server.script import script
from .definition import Definition, define, find_tree
from .dependents import NONE, Dependents, find_views

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..server.connect import Connection
    from ..server.settings import PostgresSettings, Table
    from ..server.tools import Tool
    from .definition import Relation
    from .dependents import View

#: A digest of what the tables and views ``$1`` are, to find out that somebody has altered them since.
SHAPE = script(__file__, "shape")
_PUBLICATIONS = script(__file__, "publications")


@dataclass(frozen=True, slots=True)
class Live:
    """The tables in the target: ``definition`` as pg_dump says it, ``digests`` to see whether that still holds.

    These are of the tables and of the views. ``publications`` are (name, statement) of those that they are listed in,
    ``dependents`` the views of their rows.
    """

    definition: Definition
    digests: tuple[str, str] = ("", "")
    publications: tuple[tuple[str, str], ...] = ()
    dependents: Dependents = NONE

    @property
    def oids(self) -> str:
        """Those of the tables, as PostgreSQL writes an array."""
        return array(self.definition.relations)

    @property
    def views(self) -> str:
        """Those of the views, in the same way."""
        return array(self.dependents.views)


async def look(settings: PostgresSettings, tool: Tool, tables: Sequence[Table]) -> Live:
    """Look at these tables and at what descends from them. Raises ``DatabaseError``.

    What the views are that depend on them is not asked for: see ``describe``.
    """
    found = await answered(_look, settings, tables, limit=settings.query_timeout)
    relations, digests, publications, views = found
    return Live(await define(settings, tool, relations), digests, publications, Dependents(views))


def _look(
    settings: PostgresSettings, tables: Sequence[Table]
) -> tuple[list[Relation], tuple[str, str], tuple[tuple[str, str], ...], tuple[View, ...]]:
    with connect(settings) as connection:
        relations = find_tree(connection, tables)
        connection.execute("SET search_path = ''")
        oids = [each.oid for each in relations]
        views = find_views(connection, oids)
        asked = SHAPE.replace("%", "%%").replace("$1", "%s")
        of_tables, of_views = [
            one(connection, asked, (each,) * SHAPE.count("$1"))[0] or ""
            for each in (oids, [view.oid for view in views])
        ]
        return relations, (of_tables, of_views), _publications(connection, oids), views


def _publications(connection: Connection, oids: list[int]) -> tuple[tuple[str, str], ...]:
    having = connection.info.server_version >= 150000
    asked = _PUBLICATIONS.replace(":prattrs", "r.prattrs" if having else "NULL")
    asked = asked.replace(":prqual", "r.prqual" if having else "NULL")
    rows = connection.execute(asked, {"oids": oids}).fetchall()
    found = []
    for name, rel, columns, condition in rows:
        listed = f" ({columns})" if columns else ""
        where = f" WHERE {condition}" if condition else ""
        found.append((name, f"ALTER PUBLICATION {name} ADD TABLE ONLY {rel}{listed}{where}"))
    return tuple(found)


def array(relations: Sequence[Relation | View]) -> str:
    """Their numbers, as PostgreSQL writes an array."""
    return "{" + ",".join(str(each.oid) for each in relations) + "}"
