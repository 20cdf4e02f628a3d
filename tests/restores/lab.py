"""Databases and roles of a case, and the dumps by which they are compared."""

from __future__ import annotations

import re
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from kleidia_backup.demo.servers.together import PostgresServer

from .. import databases

ROLE_PASSWORD = "a-role's-password"

#: What a database's own settings may not do to us.
_UNTOUCHED = (
    "-c default_transaction_read_only=off -c statement_timeout=0 -c idle_session_timeout=0 -c transaction_timeout=0"
    " -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c client_min_messages=error -c TimeZone=UTC"
    " -c bytea_output=hex -c extra_float_digits=3 -c DateStyle=ISO,YMD -c IntervalStyle=postgres -c array_nulls=on"
    " -c standard_conforming_strings=on"
)

#: What README gives to a role for backups.
_READER = """
GRANT CONNECT ON DATABASE @database@ TO @role@;
GRANT pg_read_all_data TO @role@;
"""

_SEQUENCES = """
SELECT format('%%I.%%I', schemaname, sequencename), last_value FROM pg_sequences
JOIN pg_depend d ON d.objid = format('%%I.%%I', schemaname, sequencename)::regclass AND d.classid = 'pg_class'::regclass
WHERE d.refobjid = %s::regclass AND d.deptype IN ('a', 'i') ORDER BY 1
"""

_LEFT_BEHIND = """
SELECT 'session ' || pid FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
UNION ALL SELECT 'temporary ' || c.oid::regclass FROM pg_class c WHERE c.relpersistence = 't'
UNION ALL SELECT 'temporary ' || p.oid::regprocedure FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname ~ '^pg_temp'
UNION ALL SELECT 'prepared ' || gid FROM pg_prepared_xacts WHERE database = current_database()
"""


@dataclass
class Lab:
    """Makes databases and roles on one server, and removes them; ``role`` is the name of the case's role."""

    server: PostgresServer
    admin: psycopg.Connection[tuple[object, ...]]
    stack: ExitStack
    role: str = field(default_factory=lambda: f"role_{secrets.token_hex(4)}")
    _has_role: bool = False

    def make_role(self) -> None:
        """A login role without special rights, once."""
        if self._has_role:
            return
        self._has_role = True
        role = sql.Identifier(self.role)
        self.admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, ROLE_PASSWORD))
        self.stack.callback(self.admin.execute, sql.SQL("DROP ROLE {}").format(role))

    def make_database(self, options: str = "", *, owner: str = "") -> str:
        """An empty database; its name."""
        name = databases.create(self.admin, f"OWNER {owner} {options}" if owner else options)
        self.stack.callback(databases.drop, self.admin, self.server, name)
        return name

    def conninfo(self, database: str, *, as_role: bool = False) -> str:
        """Where a database is, for a superuser or the case's role."""
        whole = self.server.conninfo(database)
        return make_conninfo(whole, user=self.role, password=ROLE_PASSWORD) if as_role else whole

    def load(self, database: str, text: str, *, as_role: bool = False) -> None:
        """Run SQL as a superuser, who first becomes the case's role if asked for. Read-only by setting or not."""
        if not text.strip():
            return
        if as_role:
            text = f"SET ROLE {self.role};\n{text}"
        (text,) = self.named((text,), database)
        command = [self._tool("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-d"]
        done = subprocess.run([*command, self._where(database)], input=text.encode(), capture_output=True, check=False)
        assert done.returncode == 0, f"the case's own SQL failed: {done.stderr.decode()}"

    def named(self, texts: tuple[str, ...], database: str = "") -> tuple[str, ...]:
        """Texts with the name of the role and the database in them."""
        return tuple(text.replace("@role@", self.role).replace("@database@", database) for text in texts)

    def answer(self, database: str, question: str) -> list[tuple[object, ...]]:
        """The rows of an answer; none without a question."""
        if not question:
            return []
        with psycopg.connect(self._where(database), autocommit=True) as connection:
            return connection.execute(question.encode()).fetchall()

    def grant_reader(self, database: str) -> None:
        """The rights for backups, as README has them."""
        self.load(database, _READER)

    def dump(self, database: str, *without_rows: str) -> str:
        """What pg_dump says of a database, in a form that can be compared."""
        command = [
            self._tool("pg_dump"),
            "--encoding=UTF8",
            *(f"--exclude-table-data={table}" for table in without_rows),
            "-d",
        ]
        done = subprocess.run(
            [*command, self._where(database)], capture_output=True, check=False, errors="surrogateescape"
        )
        assert done.returncode == 0, f"pg_dump failed: {done.stderr}"
        return "\n".join(_comparable(done.stdout))

    def rows_of(self, database: str, *tables: str) -> list[object]:
        """The rows of some tables and the values of their sequences, whatever the order of columns and rows."""
        with psycopg.connect(self._where(database), autocommit=True) as connection:
            found: list[object] = []
            for table in tables:
                (there,) = connection.execute("SELECT to_regclass(%s)", (table,)).fetchone() or (None,)
                if there is not None:
                    rows = connection.execute(f"SELECT to_jsonb(t)::text FROM {table} t ORDER BY 1".encode())
                    found += [table, *rows.fetchall()]
                    found += connection.execute(_SEQUENCES, (table,)).fetchall()
            return found

    def left_behind(self, database: str) -> list[str]:
        """Sessions, temporary objects and prepared transactions that do not go within some seconds."""
        end = time.monotonic() + 5
        with psycopg.connect(self._where(database), autocommit=True) as connection:
            while left := [str(row[0]) for row in connection.execute(_LEFT_BEHIND).fetchall()]:
                if time.monotonic() > end:
                    break
                time.sleep(0.02)
        return left

    def _where(self, database: str) -> str:
        return make_conninfo(self.server.conninfo(database), options=_UNTOUCHED, client_encoding="UTF8")

    def _tool(self, name: str) -> str:
        return str(Path(self.server.bin_dir) / name)


def _comparable(text: str) -> Iterator[str]:
    """Lines without comments and keys, the rows inside of each COPY sorted."""
    rows: list[str] | None = None
    for line in text.split("\n"):
        if rows is not None and line == "\\.":
            yield from sorted(rows)
            rows = None
        elif rows is not None:
            rows.append(line)
            continue
        elif line.startswith("COPY ") and line.endswith(" FROM stdin;"):
            rows = []
        # A name that the server numbered, since a table that stays has the first: pg_dump writes it, and none else.
        line = re.sub(r' CONSTRAINT (?:\w+|"(?:[^"]|"")+)_not_null\d+"? NOT NULL', " NOT NULL", line)  # noqa: PLW2901
        if line and not re.match(r"--( |$)|\\(un)?restrict |SET client_encoding ", line):
            yield line
