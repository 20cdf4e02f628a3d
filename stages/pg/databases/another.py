"""Another database on the server of the configured one: whether it is there, making it, and dropping it again."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
from psycopg import sql

from ...errors import ConfigurationError, DatabaseError, DatabaseForbidden, DatabaseUnreachable, KleidiaError, Right
from ..server.connect import connect, one
from ..server.outcome import end_backend
from ..server.questions import answered

if TYPE_CHECKING:
    from ..server.settings import PostgresSettings

#: What decides how text is stored and compared in a database: the options of CREATE DATABASE, and their values.
LOCALE = """
SELECT pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, to_jsonb(d) ->> 'datlocprovider',
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'), to_jsonb(d) ->> 'daticurules'
FROM pg_database d WHERE datname = current_database()
"""
#: The role, and whether it may make one.
MAY = "SELECT current_user::text, rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user"
#: Bytes that PostgreSQL keeps of a name.
_LONGEST = 63
#: Seconds to drop it in.
_DROPPING = 60.0
#: The database that is asked where the configured one is not there.
_MAINTENANCE = "postgres"


def statement(name: str, *locale: str | None) -> sql.Composed:
    """CREATE DATABASE from template0, with what ``LOCALE`` gave."""
    encoding, collate, ctype, provider, icu, rules = locale
    options = {"ENCODING": encoding, "LC_COLLATE": collate, "LC_CTYPE": ctype}
    if provider == "i":
        options |= {"LOCALE_PROVIDER": "icu", "ICU_LOCALE": icu, **({"ICU_RULES": rules} if rules else {})}
    elif provider == "b":
        options |= {"LOCALE_PROVIDER": "builtin", "BUILTIN_LOCALE": icu}
    parts = [sql.SQL("{} = {}").format(sql.SQL(option), sql.Literal(value)) for option, value in options.items()]
    made = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ").format(sql.Identifier(name))
    return made + sql.SQL(" ").join(parts)


def another(settings: PostgresSettings, name: str) -> PostgresSettings:
    """The same server and role, and the database ``name``. Raises ``ConfigurationError`` for what can be no name."""
    if not name or len(name.encode(errors="replace")) > _LONGEST or not name.isprintable():
        raise ConfigurationError(
            "That is not the name of a database.", hint=f"It has 1 to {_LONGEST} printable bytes.", effect="nothing"
        )
    return replace(settings, conninfo=settings.full_conninfo(dbname=name))


async def missing(settings: PostgresSettings, name: str, *, create: bool) -> bool:
    """Whether the database ``name`` is to be made first. It changes nothing.

    Raises ``ConfigurationError`` when it is not there and nobody said ``create``, ``DatabaseForbidden`` when the role
    may not make one, and what ``connect`` raises.
    """

    def ask(settings: PostgresSettings) -> tuple[bool, str, bool]:
        with connect(settings) as connection:
            there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
            return there is not None, *one(connection, MAY)

    home = await _home(settings)
    there, role, may = await answered(ask, home, limit=settings.query_timeout)
    if there:
        return False
    where = another(settings, name).where()
    if not create:
        raise ConfigurationError(
            f"There is no {where}, and it was not asked to be made.",
            hint="Correct the name, or let it be made: --create, in the API create_database.",
            effect="nothing",
        )
    if not may:
        raise DatabaseForbidden(
            f'The role "{role}" may not create databases, and the {where} is not there.',
            hint="ALTER ROLE … CREATEDB gives it that right; or make the database yourself, with that role as its "
            "owner, and restore without --create.",
            rights=(Right("CREATEDB", f'the role "{role}"', " for "),),
            effect="nothing",
        )
    return True


@asynccontextmanager
async def made(settings: PostgresSettings, name: str, undone: Callable[[], bool]) -> AsyncIterator[None]:
    """Make the database ``name``, with the encoding and the locale of the configured one.

    When it is left by an error it is dropped again, if ``undone()`` says that nothing can have been committed there.
    Raises as ``missing``, and ``DatabaseError`` for what the server refuses, also a database that came meanwhile.
    """
    home = await _home(settings)
    begun = False  # before that, one of this name may be somebody else's
    mark = secrets.randbelow(10**9) + 10**9  # a limit of connections that only ours has until then

    def create() -> None:
        nonlocal begun
        with connect(home) as connection:
            locale = one(connection, LOCALE)
            connection.execute("SET statement_timeout = 0")
            connection.execute("SELECT set_config('application_name', %s, false)", (_maker(mark),))
            connection.execute(statement(name, *locale) + sql.SQL(" CONNECTION LIMIT = {}").format(sql.Literal(mark)))
            begun = True
            connection.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT -1").format(sql.Identifier(name)))

    try:
        await answered(create, limit=settings.query_timeout)
        yield
    except BaseException as exc:
        with anyio.CancelScope(shield=True):
            if undone() and (begun or await _made_all_the_same(home, name, mark)):
                await _drop(home, name, exc)
        raise


async def _made_all_the_same(home: PostgresSettings, name: str, mark: int) -> bool:
    """Whether the server made it although nobody waited for that any more."""

    def ask() -> bool:
        with connect(home) as connection:
            question = "SELECT 1 FROM pg_database WHERE datname = %s AND datconnlimit = %s"
            return connection.execute(question, (name, mark)).fetchone() is not None

    with anyio.move_on_after(_DROPPING), suppress(DatabaseError):
        await end_backend(home, _maker(mark), "")
        return await answered(ask, limit=_DROPPING)
    return False


def _maker(mark: int) -> str:
    return f"kleidia-create-{mark}"


async def _drop(home: PostgresSettings, name: str, error: BaseException) -> None:
    def drop() -> None:
        with connect(home) as connection:
            connection.execute("SET statement_timeout = 0")
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    try:
        await answered(drop, limit=_DROPPING)
    except DatabaseError as exc:
        if isinstance(error, KleidiaError):
            error.hint = f"{error.hint} The database {name}, which was made, is still there: {exc.message}".lstrip()


async def _home(settings: PostgresSettings) -> PostgresSettings:
    """Settings that lead to a database which is there: the configured one, else the server's own."""

    def ask(settings: PostgresSettings) -> None:
        with connect(settings):
            pass

    try:
        await answered(ask, settings, limit=settings.query_timeout)
    except DatabaseUnreachable as exc:
        own = another(settings, _MAINTENANCE)
        try:
            await answered(ask, own, limit=settings.query_timeout)
        except DatabaseError:
            raise exc from None
        return own
    return settings
