"""What a role may not read and pg_dump would: found before a dump rather than in the middle of it.

pg_dump takes a lock on every table, which asks for SELECT, and reads rows, the values of sequences and large objects.
Members of an extension are left alone, but for those that it calls its configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...errors import DatabaseForbidden, Right
from ...words import count
from .script import script
from .settings import CONTROL_SCHEMA, Table, quote_identifier

if TYPE_CHECKING:
    from .connect import Connection

#: Names in one sentence.
MOST = 20

_PLAIN, _ROWS, _LARGE = "right", "row security", "large object"

#: Rows of (what is missing, object). ``schemas`` and ``names`` are those of tables whose rows are not
#: read, ``control`` is the schema left out.
_UNREADABLE = script(__file__, "unreadable")


def unreadable(connection: Connection, rowless: Sequence[Table] = ()) -> list[tuple[str, str]]:
    """What this role may not read: pairs of the kind of right that it lacks and the object's name.

    ``rowless`` are the tables whose rows a dump leaves out. The session must have an empty search path, so that
    no user's function is taken for the server's. Raises what ``connect`` maps.
    """
    rows = connection.execute(
        _UNREADABLE,
        {
            "control": CONTROL_SCHEMA,
            "schemas": [table.schema for table in rowless],
            "names": [table.name for table in rowless],
        },
    ).fetchall()
    return [(kind, _large(name) if kind == _LARGE else name) for kind, name in rows]


def _large(text: str) -> str:
    """``7 16401, 16402, …`` as words."""
    number, _, some = text.partition(" ")
    more = ", …" if int(number) > some.count(",") + 1 else ""
    return f"{count(int(number), 'large object')} ({some}{more})"


#: Rows of (kind, what is lacking) for a restore over what is there, which drops and makes everything again.
_UNRESTORABLE = script(__file__, "unrestorable")


def unrestorable(connection: Connection) -> list[str]:
    """What a role that is no superuser lacks to restore an archive of this database over it.

    As ``unreadable`` it needs an empty search path. Raises what ``connect`` maps.
    """
    return [name for _, name in connection.execute(_UNRESTORABLE, {"control": CONTROL_SCHEMA})]


def forbidden(role: str, missing: Sequence[tuple[str, str]]) -> DatabaseForbidden:
    """The error for what ``unreadable`` found, with what to grant."""
    names = [name for _, name in missing]
    return DatabaseForbidden(
        f'The role "{role}" cannot read {shortened(names)}.',
        hint=cure(role, missing),
        rights=tuple(Right("read", name) for name in names),
    )


def cure(role: str, missing: Sequence[tuple[str, str]]) -> str:
    """What to grant, for the kinds of rights that are missing."""
    kinds, quoted = {kind for kind, _ in missing}, quote_identifier(role)
    cures = []
    if _PLAIN in kinds:
        cures.append(f"GRANT pg_read_all_data TO {quoted} (PostgreSQL 14 and newer; before: SELECT on each)")
    if _ROWS in kinds:
        cures.append(f"ALTER ROLE {quoted} BYPASSRLS, for the rows that row security hides")
    if _LARGE in kinds:
        cures.append(
            "for large objects, which pg_read_all_data does not cover, as a superuser: "
            f"ALTER ROLE {quoted} SET lo_compat_privileges = on, or GRANT SELECT ON LARGE OBJECT … for each"
        )
    text = "; ".join(cures)
    return f"{text[:1].upper()}{text[1:]}." if cures else ""


def shortened(names: Sequence[str], most: int = MOST) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")
