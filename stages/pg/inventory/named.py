"""What an archive names, as rows for a question to the catalog, and where the catalog has such things."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..server.script import script
from ..server.settings import Table

if TYPE_CHECKING:
    from ..survey import SqlFacts

#: The head of a question: ``object`` is everything that an archive can name, ``seed`` what of it is there. Routines and
#: operators are found whatever their arguments are. ``owner`` is who may drop it, ``home_owner`` who else may.
#: ``preserved`` are the tables that keep their rows, and the views on them.
NAMED = script(__file__, "named")


def named(archive: SqlFacts) -> dict[str, list[str]]:
    """The values for ``NAMED``. A relation may be a type now, and the other way round."""
    rows = {("relation", home(each)) for each in archive.tables | archive.relations}
    rows |= {("type", home(each)) for each in archive.tables | archive.relations | archive.types}
    rows |= {("row type", home(each)) for each in archive.types}
    rows |= {("routine", home(each)) for each in archive.routines}
    rows |= {("schema", Table("", name)) for name in archive.schemas}
    rows |= {("extension", Table("", name)) for name in archive.extensions}
    rows |= {("event trigger", Table("", name)) for name in archive.event_triggers}
    rows |= {("type" if kind == "used type" else kind, name) for kind, name in archive.others}
    return {
        "kinds": [kind for kind, _ in rows],
        "homes": [each.schema for _, each in rows],
        "names": [each.name for _, each in rows],
    }


def home(table: Table) -> Table:
    """A table of the archive with its schema; other writers than pg_dump may leave out the usual one."""
    return table if table.schema else Table("public", table.name)
