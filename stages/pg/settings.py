"""Where the database is, which tools speak to it, and which tables a restore leaves alone."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, field

from psycopg import Error as PsycopgError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ..errors import ConfigurationError

#: The schema of the product's own tables. It is never dumped and never restored.
CONTROL_SCHEMA = "kleidia_backup"

#: Seconds libpq waits for each address, unless the conninfo says otherwise.
CONNECT_TIMEOUT = 15

#: Parameters that are secrets and have no environment variable: they cannot reach pg_dump or psql unseen.
_UNPASSABLE = ("sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret")

#: Seconds that PostgreSQL takes for a timeout at most (milliseconds in 31 bits).
_LONGEST = 2_000_000.0

#: Parameters that libpq takes for TCP connections, in seconds: a peer that vanished is noticed in a minute.
_KEEPALIVES = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}

#: Secrets of others that no child needs; ours begin with KLEIDIA_.
_SECRETS = ("VAULT_TOKEN", "BAO_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

_NAME = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([^\s".]+))\s*(\.|$)')


def quote_identifier(name: str) -> str:
    """An identifier as SQL takes it anywhere: in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """A text constant as SQL takes it, whatever ``standard_conforming_strings`` says."""
    quoted = "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
    return f"E{quoted}" if "\\" in text else quoted


def clean_environment() -> dict[str, str]:
    """Our environment without the secrets in it: the encryption password, the vault's token, the store's key."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith("KLEIDIA_") and name not in _SECRETS
    }


@dataclass(frozen=True, slots=True, order=True)
class Table:
    """A table's exact name; an empty ``schema`` means wherever the search path finds it."""

    schema: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Table:
        """Read ``backup_jobs``, ``app.backup_jobs`` or ``"My App"."Backup Jobs"``; without quotes the case is folded.

        Raises ``ConfigurationError`` when it is no such name.
        """
        parts: list[str] = []
        at = 0
        while (match := _NAME.match(text, at)) is not None:
            quoted, plain = match.group(1), match.group(2)
            parts.append(quoted.replace('""', '"') if quoted else plain.lower())
            at = match.end()
            if not match.group(3):
                break
        if match is None or at != len(text) or len(parts) not in (1, 2):
            raise ConfigurationError(
                f"{text!r} is not the name of a table.",
                hint='Write it as table or schema.table, with "double quotes" where SQL needs them.',
            )
        return cls(parts[0] if len(parts) == 2 else "", parts[-1])

    def matches(self, other: Table) -> bool:
        """Whether this name, perhaps without a schema, can mean the other table."""
        return self.name == other.name and self.schema in ("", other.schema)

    def __str__(self) -> str:
        parts = (self.schema, self.name) if self.schema else (self.name,)
        return ".".join(quote_identifier(part) for part in parts)


@dataclass(frozen=True)
class PostgresSettings:
    """One database and how to reach it.

    ``conninfo`` is a libpq URI or keyword list; its password may also come from a passfile or ``PGPASSWORD``.
    ``pg_dump`` and ``psql`` are paths, or names to look for on ``PATH``. ``preserve`` names the tables that keep
    their rows through a restore and whose rows are not dumped, ``audit`` the tables of the audit log.
    ``lock_timeout`` are the seconds that a dump or a statement of a restore waits for a lock that another session
    holds; 0 is no limit. ``query_timeout`` are those in which the server answers each of our own questions, before
    and after a job; it does not limit the dump or the restore itself. Raises ``ConfigurationError`` for what cannot
    be read. ``repr`` shows no password.
    """

    conninfo: str = field(repr=False)
    pg_dump: str = "pg_dump"
    psql: str = "psql"
    preserve: tuple[str, ...] = ("backup_jobs",)
    audit: tuple[str, ...] = ("audit_logs",)
    lock_timeout: float = 600.0
    query_timeout: float = 60.0
    _parameters: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            parameters = {
                key: str(value) for key, value in conninfo_to_dict(self.conninfo).items() if value is not None
            }
        except PsycopgError:  # its message may quote a piece of the password
            raise ConfigurationError(
                "The PostgreSQL connection string cannot be read.",
                hint="Write postgresql://user@host:port/database or host=… port=… dbname=… user=…",
            ) from None
        if unpassable := [key for key in _UNPASSABLE if key in parameters]:
            raise ConfigurationError(
                f"The connection parameter {unpassable[0]} cannot be given to pg_dump and psql unseen.",
                hint="Use a key file without a passphrase and mode 0600, or another kind of login.",
            )
        if not 0 <= self.lock_timeout <= _LONGEST:
            raise ConfigurationError(
                f"lock_timeout cannot be {self.lock_timeout:g} seconds.",
                hint=f"Give 0 (no limit) to {_LONGEST:g} seconds.",
            )
        if not 0 < self.query_timeout <= _LONGEST:
            raise ConfigurationError(
                f"query_timeout cannot be {self.query_timeout:g} seconds.",
                hint=f"Give more than 0, and at most {_LONGEST:g} seconds.",
            )
        for name in (*self.preserve, *self.audit):
            Table.parse(name)
        parameters = {"connect_timeout": str(CONNECT_TIMEOUT), **_KEEPALIVES, **parameters}
        object.__setattr__(self, "_parameters", parameters)

    def __repr__(self) -> str:
        return f"PostgresSettings({self.public_conninfo()!r}, preserve={self.preserve!r}, audit={self.audit!r})"

    @property
    def lock_milliseconds(self) -> int:
        """``lock_timeout`` as PostgreSQL takes it."""
        return math.ceil(self.lock_timeout * 1000)

    def full_conninfo(self, *, connect_timeout: int | None = None) -> str:
        """The conninfo with its password, for a connection inside this process (timeout in seconds). Never log it."""
        extra = {"connect_timeout": str(connect_timeout)} if connect_timeout else {}
        return make_conninfo("", **{**self._parameters, **extra})

    def public_conninfo(self, **extra: str) -> str:
        """The conninfo without secrets, for argument vectors and messages; ``extra`` parameters win."""
        return make_conninfo("", **{**self._parameters, **extra, "password": None})

    def environment(self) -> dict[str, str]:
        """The environment for pg_dump and psql: ours, and the password if the conninfo has one."""
        environment = clean_environment()
        if "password" in self._parameters:
            environment["PGPASSWORD"] = self._parameters["password"]
        environment["LC_MESSAGES"] = environment["LC_ALL"] = "C.UTF-8"  # we read their messages
        environment["PSQL_HISTORY"] = os.devnull
        return environment

    def where(self) -> str:
        """The server for messages, for example ``database app at db.example.org:5432``."""
        host = self._parameters.get("host") or self._parameters.get("hostaddr") or os.environ.get("PGHOST", "localhost")
        port = self._parameters.get("port") or os.environ.get("PGPORT", "5432")
        name = self._parameters.get("dbname") or os.environ.get("PGDATABASE") or self._parameters.get("user", "")
        return f"database {name} at {host}:{port}" if name else f"PostgreSQL at {host}:{port}"
