"""What of a live database stands in the way of an archive: found for the dry run, dropped by the restore."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..server.script import script
from .named import NAMED, home, named

if TYPE_CHECKING:
    from ..server.connect import Connection
    from ..survey import SqlFacts


#: Of domains ``checked`` those that columns of tables, but of those that are ``leaving``, use inside of other types.
INSIDE = script(__file__, "inside").rstrip()
#: What the archive does not know and what depends on what it replaces. Rows of (what, text, statement, again):
#: ``drop`` can be dropped by ``statement``, since it has no rows of its own, and a part of a table that stays is made
#: again by ``again``; what that lacks, as comments, follows as rows without a ``statement``. ``loosen`` is dropped as
#: well, and comes back NOT VALID: the CHECK of a domain that is used inside of other types. ``keep`` has rows, or
#: belongs to another role.
#: It follows the catalog's dependencies as DROP … CASCADE would. Foreign keys are no obstacle: a restore drops all of
#: them and makes them again; nor are preserved tables and the views on them.
OBSTACLES = script(__file__, "obstacles", named=NAMED, inside=INSIDE)
#: What has a name that the archive needs and is something else: rows of (what, text). ``renamed`` are indexes,
#: sequences and statistics of tables that stay, ``replaced`` relations of another kind, which are dropped, ``taken``
#: preserved tables, whose rows would have no place.
REPLACED = script(__file__, "replaced")
#: What a DROP of the archive takes along without an error. Rows of (text, before, again): ``before`` prevents that,
#: ``again`` makes it as it was. ``schemas``: of publications, which only versions from 15 on have.
SILENT = script(__file__, "silent", named=NAMED)
_SCHEMAS = script(__file__, "published_schemas")


@dataclass(frozen=True, slots=True)
class Obstacles:
    """Objects that the archive does not know and that depend on what it replaces.

    ``drops`` have no rows of their own: the object, the statement that drops it, and for a part of a table that stays
    the one that makes it again.
    ``loosened`` are those of them that come back as NOT VALID. ``keeps`` have rows, or belong to another role: a
    restore refuses.
    """

    drops: tuple[tuple[str, str, str], ...] = ()
    loosened: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()


def find_obstacles(connection: Connection, archive: SqlFacts, preserved: Iterable[int]) -> Obstacles:
    """Ask the catalog, with an empty search_path; ``preserved`` are the oids of tables that keep their rows.

    Raises what ``connect`` maps.
    """
    rows = connection.execute(OBSTACLES, {**named(archive), "preserved": list(preserved)}).fetchall()
    return Obstacles(
        drops=tuple((text, statement, again) for what, text, statement, again in rows if what != "keep"),
        loosened=tuple(text for what, text, *_ in rows if what == "loosen"),
        keeps=tuple(text for what, text, *_ in rows if what == "keep"),
    )


def find_silent(
    connection: Connection, archive: SqlFacts, preserved: Iterable[int]
) -> tuple[tuple[str, str, str], ...]:
    """What goes without an error: the object, the statement that prevents it, the one that makes it again, or neither.

    Raises what ``connect`` maps.
    """
    schemas = _SCHEMAS if connection.info.server_version >= 150000 else ""
    values = {**named(archive), "preserved": list(preserved)}
    rows = connection.execute(SILENT.replace(":schemas", schemas), values)
    return tuple((text, before, again) for text, before, again in rows)


def find_replaced(
    connection: Connection, archive: SqlFacts, preserved: Iterable[int]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """What has a name that the archive needs: renamed, as it belongs to a table that stays; dropped, of another kind.

    Third are preserved tables of another kind than the archive's: they can neither be dropped nor put back.

    Raises what ``connect`` maps.
    """
    needed = [("table", home(each)) for each in archive.tables]
    needed += [("relation", home(each)) for each in archive.relations]
    needed += [("type", home(each)) for each in archive.types]
    needed += [("index", home(each)) for each in archive.indexes]
    needed += [
        (kind, home(name)) for kind, name in archive.others if kind in ("statistics", "composite type", "foreign table")
    ]
    values = {
        "kinds": [kind for kind, _ in needed],
        "schemas": [each.schema for _, each in needed],
        "names": [each.name for _, each in needed],
        "preserved": list(preserved),
    }
    rows = connection.execute(REPLACED, values).fetchall()
    renamed, replaced, taken = (
        tuple(text for what, text in rows if what == wanted) for wanted in ("renamed", "replaced", "taken")
    )
    return renamed, replaced, taken
