"""Operators outside of pg_catalog that pg_dump cannot name: what uses them means something else after a restore."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..server.script import script
from ..server.settings import CONTROL_SCHEMA
from .finding import Finding
from .nodes import unnamed

if TYPE_CHECKING:
    from ..server.connect import Connection

#: Parts of ``expressions`` that only newer servers know.
_STATISTICS = """
    UNION ALL SELECT classid, objid, stxexprs::text FROM named
    JOIN pg_statistic_ext s ON classid = 'pg_statistic_ext'::regclass AND s.oid = objid
"""
_PUBLICATIONS = """
    UNION ALL SELECT classid, objid, prqual::text FROM named
    JOIN pg_publication_rel p ON classid = 'pg_publication_rel'::regclass AND p.oid = objid
"""

_SCHEMAS = """
SELECT o.oid::bigint, quote_ident(n.nspname), o.oprname::text FROM pg_operator o
JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE o.oid = ANY (%s::bigint[]::oid[])
"""

#: The server's own schema, which every search path begins with.
_CATALOG = "pg_catalog"


def find_operators(connection: Connection) -> Iterator[Finding]:
    """Views, columns, constraints and so on that a restore with an empty search path makes other than they are.

    The session's search path is empty. Raises what ``connect`` maps.
    """
    version = connection.info.server_version
    question = script(
        __file__,
        "expressions",
        body="prosqlbody::text" if version >= 140000 else "''",
        more=(_STATISTICS if version >= 140000 else "") + (_PUBLICATIONS if version >= 150000 else ""),
    )
    # One after the other: a tree may be large, and there may be many.
    rows = connection.cursor().stream(question, (CONTROL_SCHEMA,))
    trees = [(what, unnamed(tree)) for what, tree in rows]
    numbers = {number for _, each in trees for number in each.meant.union(*each.pairs)}
    homes = {number: [_CATALOG, ""] for number in numbers}  # of one that is gone
    homes.update({number: home for number, *home in connection.execute(_SCHEMAS, ([*numbers],))})
    for what, each in trees:
        wanted = {number for number in each.meant if homes[number][0] != _CATALOG}
        stuck: set[int] = set()
        for first, other in each.pairs:
            if homes[first][0] == _CATALOG and homes[other][0] != _CATALOG:
                wanted.add(other)
            elif homes[first] != homes[other]:  # the first one's schema is written, and stands for both
                stuck |= {first, other}
        if stuck:
            yield Finding(
                "operator",
                what,
                f"Rows are compared by operators of several schemas ({_shown(stuck, homes)}), of which SQL can name "
                "only one: no restore can make {}.",
                "Compare the columns one by one instead.",
            )
        elif wanted:
            path = ", ".join(sorted({homes[number][0] for number in wanted}))
            yield Finding(
                "operator",
                what,
                f"The operator {_shown(wanted, homes)} is used where SQL has no place for its schema (NULLIF, IS "
                "DISTINCT FROM, CASE … WHEN, USING, rows), so that a restore takes another or finds none, in {}.",
                f"Restore with --search-path {path}.",
            )


def _shown(numbers: set[int], homes: dict[int, list[str]]) -> str:
    return ", ".join(sorted({f"{schema}.{name}" for schema, name in (homes[each] for each in numbers)}))
