"""A server's refusal of a statement: as fields, and as the error for the user.

No value of a row is shown: what the server quotes is kept only where it names an object.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import errors
from psycopg.pq import DiagnosticField

from ....formats.sql.cut import bare
from ....formats.sql.grammar import head
from ...errors import DatabaseError, DatabaseUnreachable, RestoreFailed

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

    from .settings import PostgresSettings

#: What to do about a lock that another session holds.
LOCKED = (
    "Another session holds a lock: stop the application, or end what pg_locks and pg_stat_activity show; "
    "lock_timeout in the settings says how long to wait."
)

#: SQLSTATEs of something that is not there, or is something else: an object, a table, a column, a schema, a function.
MISSING = frozenset({"42704", "42P01", "42703", "3F000", "42883", "42P16", "42809"})
#: A right is missing.
FORBIDDEN = "42501"
#: No such function, or operator.
UNDEFINED_FUNCTION = "42883"
#: What does not fit an encoding: its message has the names of encodings, and one character's bytes.
_ENCODED = frozenset({"22P05", "22021"})
#: Something else depends on it.
DEPENDED = "2BP01"
#: The name is taken: a relation, a type or another object, a function, a schema.
TAKEN = frozenset({"42P07", "42710", "42723", "42P06"})

_NAMES = re.compile(r'[\w$]+|(?<=")[^"]+(?=")')
#: A name in quotes with whatever characters.
_ODD_NAMES = re.compile(r'"((?:[^"]|"")+)"')
_QUOTED = re.compile(r'"(?:[^"]|"")*"?')
#: What may stand before a quoted name; anything else that is quoted may be a value from a row.
_NAMED = re.compile(
    r"(?:\.|\b(?:(?:relation|(?:foreign )?table|view|index|sequence|column|constraint|type|domain|enum|role|user|schema"
    r"|function|procedure|aggregate|operator|language|extension|database|collation|trigger|policy|rule|parameter"
    r"|tablespace|publication|subscription|server|wrapper|method|configuration|dictionary|encoding|partition|file"
    r"|library|attribute|statistics|owner|to|of) ))$",
    re.IGNORECASE,
)
#: A file of the server's own, as its messages name it.
_FILE = re.compile(r'"(?:base|global|pg_\w+)/[\w./]+"')
#: Bytes of a field that are kept, and characters of a message: its text may be the archive's.
_LONGEST, _SHOWN = 16_384, 1_000
#: Classes of SQLSTATEs whose messages are about the statement and what it names, never about a row.
_ABOUT_NAMES = ("42", "2B", "0A", "3F", "55", "0L", "0P")
#: Those of them that quote any part of the statement.
_QUOTES_ALL = frozenset({"42601"})
_COPY_CONTEXT = re.compile(r"^(COPY [^,]+, line \d+(?:, column [^:]+)?)", re.MULTILINE)
#: Statements that hold values themselves.
_LITERALS = re.compile(rb"(?:insert|select|update|do|comment)\b", re.IGNORECASE)
#: Statements that do, or that compute something for each row.
_VALUES = re.compile(
    rb"(?:copy|insert|select|update|do|comment|refresh|alter\s+(?:foreign\s+)?table|alter\s+domain"
    rb"|create\s+(?:unique\s+)?index|create\s[^;(]*\sas)\b",
    re.IGNORECASE,
)
#: How the context of an error begins that a function in PL/pgSQL has raised on purpose: its text may be any.
_RAISED = re.compile(r"\A(PL/pgSQL function .*) line \d+ at RAISE\b")

#: What our scripts have, and no statement of pg_dump.
OURS = b"\nDO $kleidia$\n"

#: SQLSTATEs that are the server's matter: their classes (no login, no room, in use, intervention, system error), and
#: single ones: a feature that it lacks, a standby, a right.
_SERVER_CLASSES = frozenset({"28", "53", "55", "57", "58"})
_SERVER = frozenset({"0A000", "25006", FORBIDDEN})

_NEWER = "The archive comes from a newer PostgreSQL: restore it on such a server."
_LOG = "The server's log has the whole message."
#: What to do, by SQLSTATE.
_HINTS = {
    "53200": "Raise max_locks_per_transaction on the server: a restore locks every object at once.",
    DEPENDED: "Drop what depends on it (the archive does not know it), or restore elsewhere.",
    "XX000": "The server itself failed: look into its log, and at its limits (disk, file size, memory).",
    "53100": "Free space on the server: a restore needs room for the old rows and the new ones.",
    "40P01": "Stop the application during the restore.",
    "55P03": LOCKED,
    "25006": "The server takes no writes: it is a standby, or set read-only. Connect to the primary.",
    "23505": "Rows of the archive break that unique key, so its index was damaged where the backup was "
    "made: remove the duplicates there, REINDEX, and back up again.",
    "23514": "Rows of the archive break that constraint, where the backup was made as well: mend them "
    "there, and back up again.",
    "42P17": "An index or a generated column needs a function that is IMMUTABLE. If a function of an "
    "extension was altered: no dump holds that. Call it in a function of your own, and back up again.",
}


@dataclass
class StatementRefused(Exception):
    """A statement that the server refused: its SQLSTATE, the fields of its error, and the statement.

    ``code`` is empty when the connection was lost. ``parsed`` says that the server shows the place of the error in SQL
    text: what it quotes is from there.
    """

    statement: bytes
    code: str = ""
    message: str = ""
    detail: str = ""
    context: str = ""
    parsed: bool = False
    schema: str = ""
    table: str = ""
    column: str = ""
    constraint: str = ""

    @classmethod
    def of(cls, result: PGresult, statement: bytes) -> StatementRefused:
        """From a result of the server."""

        def said(which: DiagnosticField) -> str:
            return (result.error_field(which) or b"")[:_LONGEST].decode(errors="replace")

        return cls(
            statement=statement,
            code=said(DiagnosticField.SQLSTATE),
            message=" ".join(said(DiagnosticField.MESSAGE_PRIMARY)[:_SHOWN].split()),
            detail=said(DiagnosticField.MESSAGE_DETAIL),
            context=said(DiagnosticField.CONTEXT),
            parsed=bool(said(DiagnosticField.STATEMENT_POSITION) or said(DiagnosticField.INTERNAL_POSITION)),
            schema=said(DiagnosticField.SCHEMA_NAME),
            table=said(DiagnosticField.TABLE_NAME),
            column=said(DiagnosticField.COLUMN_NAME),
            constraint=said(DiagnosticField.CONSTRAINT_NAME),
        )

    @property
    def lost(self) -> bool:
        """Whether the connection ended: by a failure, or by an administrator's command."""
        return not self.code or self.code[:3] == "57P" or self.code[:2] == "08"

    @property
    def of_server(self) -> bool:
        """Whether the server is to blame, not what it was given: its room, limits, rights, files, features."""
        return self.lost or self.code[:2] in _SERVER_CLASSES or self.code in _SERVER

    @property
    def in_function(self) -> bool:
        """Whether a function failed that the statement called, not the statement itself."""
        return bool(_COPY_CONTEXT.sub("", self.context).partition("\n")[2]) or (
            bool(self.context) and not _COPY_CONTEXT.match(self.context)
        )

    @property
    def ours(self) -> bool:
        """Whether it is a script of ours, around the archive's SQL."""
        return OURS in self.statement

    @property
    def name(self) -> str:
        """PostgreSQL's name of the SQLSTATE, for example ``wrong_object_type``."""
        try:
            found = errors.lookup(self.code).__name__
        except KeyError:
            return f"SQLSTATE {self.code}"
        return re.sub(r"(?<!^)(?=[A-Z])", "_", found.rstrip("_")).lower()

    def reason(self) -> str:
        """The server's message, without what may be a value of a row; never empty."""
        said = self.message.rstrip(".")
        valued = _VALUES.match(self.statement) is not None
        if valued and (raised := _RAISED.match(self.context)):
            return f"an error of {raised.group(1)} ({self.name})"
        if self.code[:2] in _ABOUT_NAMES and self.code not in _QUOTES_ALL and not self.context and not valued:
            return said
        text = head(self.statement)
        if not _LITERALS.match(self.statement):
            text = self.statement[:_LONGEST].decode(errors="replace")
        known = {self.schema, self.table, self.column, self.constraint, *_NAMES.findall(text)}
        known.update(name.replace('""', '"') for name in _ODD_NAMES.findall(text))
        shown = without_values(said, known, trusted=self.parsed or not valued or self.code in _ENCODED)
        return shown if shown == said else f"{shown} ({self.name})".lstrip()

    # text of PostgreSQL: the table has a field, whether the message names it has none.
    def details(self) -> str:
        """What else may be shown: what depends on what, and which row of a COPY."""
        found = self.detail.splitlines()[:5] if self.code == DEPENDED else []
        if context := _COPY_CONTEXT.search(self.context):
            found.append(context.group(1))
        if self.constraint and self.table and self.table not in self.message:
            found.append(f"table {self.schema}.{self.table}" if self.schema else f"table {self.table}")
        return f" ({'; '.join(found)})" if found else ""


# text of PostgreSQL: no field says what a message quotes: a name, or a value that must not be shown.
def without_values(message: str, names: set[str] | frozenset[str] = frozenset(), *, trusted: bool = True) -> str:
    """The server's message, up to the first quoted text that is not a name: it may be a value from a row.

    ``trusted`` says that what follows a word like "relation" is no value.
    """
    for match in _QUOTED.finditer(message):
        named = trusted and _NAMED.search(message[: match.start()])
        if match.group().strip('"') not in names and not named and not _FILE.fullmatch(match.group()):
            return message[: match.start()].removesuffix(" at or near ").rstrip(" :")
    return message


def explain(settings: PostgresSettings, refused: StatementRefused, *, role: str = "", newer: str = "") -> DatabaseError:
    """The error for a statement that was refused. ``newer`` says which versions differ, if the archive's is newer."""
    if refused.lost:
        return DatabaseUnreachable(
            f"The connection to PostgreSQL was lost during the restore ({settings.where()}).",
            hint="Check the server's log; then restore again.",
            effect="nothing",
        )
    what = "preserved tables and foreign keys" if refused.ours else head(refused.statement)
    place = f" at {what}" if what else ""
    return RestoreFailed(
        f"PostgreSQL refused the restore{place}: {refused.reason()}{refused.details()}.",
        hint=" ".join(filter(None, (_hint(refused, role), newer and f"{newer} {_NEWER}"))),
    )


def _hint(refused: StatementRefused, role: str) -> str:
    statement = bare(refused.statement)[:40].lower()
    if refused.code == FORBIDDEN:
        who = f'The role "{role}"' if role else "The role"
        right = "CREATE on that schema" if statement.startswith(b"create") else "that right"
        return f"{who} lacks {right}: grant it, or restore as the owner of everything or as a superuser."
    if refused.code in MISSING and not refused.ours and (refused.in_function or refused.code == UNDEFINED_FUNCTION):
        return (
            "A function of the archive looks for a name that is not qualified, and a restore has an empty "
            "search_path: restore with --search-path and the schemas to look in, for example --search-path public."
        )
    return _hint_of(refused, statement)


def _hint_of(refused: StatementRefused, statement: bytes) -> str:
    """What to do about a statement of this kind."""
    if refused.ours and refused.code == "42804":  # raised by our own scripts alone, in words that name the table
        return "Rename that table and restore again, or restore into another database."
    if refused.code in TAKEN or (refused.code == "23505" and refused.schema == "pg_catalog"):
        return (
            "Something that the archive does not know has a name that the archive, or an extension of it, needs: drop "
            "or rename it, or restore into an empty database."
        )
    if statement.startswith(b"create extension"):
        return "Install that extension on the server."
    if refused.code == "42704" and statement.startswith(b"set "):
        return _NEWER
    if refused.code == "25001" and statement.startswith(b"drop subscription"):
        return (
            "It has a slot at its publisher: ALTER SUBSCRIPTION … DISABLE, then ALTER SUBSCRIPTION … SET "
            "(slot_name = NONE), then restore, and drop the slot there."
        )
    return _HINTS.get(refused.code, _LOG)
