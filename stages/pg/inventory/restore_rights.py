"""What a restore would drop, and what the role that connects may not do: for the dry run, and for a refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import Right
from ..server.connect import Connection, connect, one
from ..server.preflight import find_tables, with_partitions
from ..server.script import script
from .named import NAMED, home, named

if TYPE_CHECKING:
    from ..server.settings import PostgresSettings
    from ..survey import SqlFacts

#: Rows of (what, text, oid): ``locks`` is how many objects go, each of which is locked, ``falls`` are relations that go
#: with what is dropped, ``foreign`` what the role does not own.
DOOMED = script(__file__, "doomed", named=NAMED)
#: Which of the roles do not exist, and which of the owners the role may not become. ``%(right)s`` is SET, before
#: version 16 MEMBER.
ROLES = script(__file__, "roles")
#: Extensions that the server does not have, those that this role may not create, and those that a restore updates.
EXTENSIONS = script(__file__, "extensions")
#: Schemas in which the role may create nothing, those that are not there, whether it may create schemas (``more``: the
#: archive does), what our own scripts need, and the same of tablespaces.
CREATE = script(__file__, "create")

#: Names that are no roles.
_KEYWORDS = frozenset({"current_user", "current_role", "session_user", "public"})
#: What only a superuser may do.
_MAKE = ", to create the "
#: How such rights are said, and what is no right.
_WORDS = {"ownership": " of ", "superuser": _MAKE}
_ABSENT = frozenset({"missing", "no tablespace"})
#: Whether the role may set a parameter that is a superuser's: a right since version 15.
_MAY_SET = "has_parameter_privilege(name, 'SET')"


@dataclass(frozen=True, slots=True)
class Rights:
    """The role that connects, the rights that it is ``missing``, and what the server or the database has not.

    ``roles``, ``tablespaces``, ``extensions`` and ``schemas`` are not there; ``updated`` are extensions that have
    another version afterwards. ``doomed`` is what goes, see ``DOOMED``.
    """

    role: str
    missing: tuple[Right, ...]
    roles: tuple[str, ...]
    tablespaces: tuple[str, ...]
    extensions: tuple[str, ...]
    updated: tuple[str, ...]
    schemas: tuple[str, ...]
    doomed: list[tuple[str, str, int]]


def rights_missing(
    settings: PostgresSettings, archive: SqlFacts, preserve: tuple[str, ...]
) -> tuple[str, tuple[Right, ...]]:
    """The role that connects, and the rights that it lacks for a restore, to explain a refusal; blocking.

    ``preserve`` names the tables that keep their rows. Raises what ``connect`` raises.
    """
    with connect(settings) as connection:
        preserved = with_partitions(connection, find_tables(connection, preserve))
        names = [str(table) for table in preserved]
        rows = connection.execute("SELECT to_regclass(name)::oid FROM unnest(%s::text[]) name", (names,)).fetchall()
        connection.execute("SET search_path = ''")
        rights = ask_rights(connection, archive, [oid for (oid,) in rows])
    return rights.role, rights.missing


def ask_rights(connection: Connection, archive: SqlFacts, preserved: list[int]) -> Rights:
    """Ask about everything that the archive names; ``preserved`` are tables by number. The search path is empty."""
    role, superuser = one(connection, "SELECT rolname::text, rolsuper FROM pg_roles WHERE rolname = current_user")
    doomed = _doomed(connection, archive, preserved)
    roles = _two(
        connection,
        ROLES,
        roles=sorted(archive.roles - _KEYWORDS),
        owners=sorted(archive.owners - _KEYWORDS),
        right="SET" if connection.info.server_version >= 160000 else "MEMBER",
    )
    extensions = _two(connection, EXTENSIONS, extensions=sorted(archive.extensions), superuser=superuser)
    create = _create(connection, archive, superuser=superuser)
    grantors = sorted(archive.grantors - {role})
    return Rights(
        role,
        (
            *(Right("ownership", text, " of ") for what, text, _ in doomed if what == "foreign"),
            *(Right("SET ROLE", name, " to ") for what, name in roles if what == "other"),
            *(Right("superuser", f"extension {name}", _MAKE) for what, name in extensions if what == "forbidden"),
            *(Right("superuser", what, _MAKE) for what in sorted(archive.superuser) if not superuser),
            *(Right("superuser", f"grants by {name}", _MAKE) for name in grantors if not superuser),
            *(Right(what, name, _WORDS.get(what, " on ")) for what, name in create if what not in _ABSENT),
        ),
        roles=tuple(name for what, name in roles if what == "missing"),
        tablespaces=tuple(name for what, name in create if what == "no tablespace"),
        extensions=tuple(name for what, name in extensions if what == "missing"),
        updated=tuple(name for what, name in extensions if what == "updated"),
        schemas=tuple(name for what, name in create if what == "missing"),
        doomed=doomed,
    )


def _doomed(connection: Connection, archive: SqlFacts, preserved: list[int]) -> list[tuple[str, str, int]]:
    """What is dropped, and what of it another role owns, see ``DOOMED``."""
    rows = connection.execute(DOOMED, {**named(archive), "preserved": preserved})
    return [(what, text, oid) for what, text, oid in rows]


def _two(connection: Connection, question: str, **values: object) -> list[tuple[str, str]]:
    return [(what, name) for what, name in connection.execute(question, values)]


def _create(connection: Connection, archive: SqlFacts, *, superuser: bool) -> list[tuple[str, str]]:
    """Rights to create that are missing, in tablespaces and schemas that the archive does not make; what is absent."""
    made = archive.tables | archive.relations | archive.routines | archive.types
    used = {home(each).schema for each in made} - archive.schemas
    more = bool(archive.schemas or archive.extensions)
    owned = sorted(archive.owned)
    owners, places = [owner for owner, _ in owned], [place for _, place in owned]
    values = {"schemas": sorted(used), "more": more, "owners": owners, "places": places, "superuser": superuser}
    lists = {
        "tablespaces": sorted(archive.tablespaces),
        "parameters": sorted(archive.parameters),
        "commented": sorted(archive.commented - archive.schemas),
    }
    question = CREATE.replace(":may_set", _MAY_SET if connection.info.server_version >= 150000 else "false")
    return _two(connection, question, **values, **lists)
