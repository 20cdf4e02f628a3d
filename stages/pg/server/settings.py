"""Where the database is, which tools speak to it, and which tables a restore leaves alone."""

from __future__ import annotations

import hashlib
import math
import os
import re
from dataclasses import dataclass, field
from typing import Annotated

from ...errors import ConfigurationError
from ...setting import Setting, check_limits
from ...urls import is_here
from .conninfo import (
    HIDDEN,
    read_conninfo,
    repeated,
    shown_host,
    shown_name,
    shown_port,
    unshown,
    without_values,
    write_conninfo,
)

#: The schema of the product's own tables. It is never dumped and never restored.
CONTROL_SCHEMA = "kleidia_backup"

#: Seconds libpq waits for each address, unless the conninfo says otherwise.
CONNECT_TIMEOUT = 15

#: Parameters that are secrets and have no environment variable: they cannot reach pg_dump unseen.
_UNPASSABLE = ("sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret")

#: Seconds that PostgreSQL takes for a timeout at most (milliseconds in 31 bits).
_LONGEST = 2_000_000

#: Parameters that libpq takes for TCP connections, in seconds: a peer that vanished is noticed in a minute.
_KEEPALIVES = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}

#: Third-party secrets that no child needs; our own variables begin with KLEIDIA_.
_SECRETS = ("VAULT_TOKEN", "BAO_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

_NAME = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([^\s".]+))\s*(\.|$)')


def quote_identifier(name: str) -> str:
    """An identifier as SQL takes it anywhere: in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def listed(text: str) -> tuple[str, ...]:
    """Names with commas between them, each as it is written."""
    return tuple(each.strip() for each in re.findall(r'(?:"(?:[^"]|"")*"|[^,"])+', text) if each.strip())


def schemas(text: str) -> tuple[str, ...]:
    """Names of schemas with commas between them, in double quotes where SQL needs them.

    Raises ``ConfigurationError`` when it is no such list.
    """
    found = tuple(map(Table.parse, listed(text)))
    if any(each.schema for each in found):
        raise ConfigurationError(
            "A search path is a list of schemas, without dots.", hint="Write it as public or app,public."
        )
    return tuple(each.name for each in found)


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
    Times are seconds. Raises ``ConfigurationError`` for what cannot be read. ``repr`` shows no password.
    """

    conninfo: str = field(repr=False)
    pg_dump: Annotated[
        str, Setting("Path of pg_dump, or its name on PATH; not older than the server.", kind="program")
    ] = "pg_dump"
    preserve: Annotated[
        tuple[str, ...],
        Setting(
            "Tables that keep their rows through a restore, and whose rows are not backed up.",
            section="backup",
            name="preserve_tables",
        ),
    ] = ("backup_jobs",)
    audit: Annotated[tuple[str, ...], Setting("Tables of the audit log.", section="backup", name="audit_tables")] = (
        "audit_logs",
    )
    lock_timeout: Annotated[
        float,
        Setting(
            "Longest wait of a dump or restore for a lock that another session holds; 0 is no limit.",
            least=0,
            most=_LONGEST,
        ),
    ] = 600.0
    query_timeout: Annotated[
        float,
        Setting(
            "Longest wait for the answer to a question about the database (not for the dump or the restore itself).",
            most=_LONGEST,
        ),
    ] = 60.0
    jobs: Annotated[
        int,
        Setting(
            "pg_dump processes at the same time, which share one snapshot; more than one needs archives of format v2.",
            least=1,
            most=64,
        ),
    ] = 1
    large_table: Annotated[
        int,
        Setting(
            "With several jobs: tables of this size and larger, by the server's statistics, are divided among them.",
            kind="size",
        ),
    ] = 256 * 1024 * 1024
    max_rate: Annotated[
        int,
        Setting(
            "Bytes of SQL a second that a backup reads from the server, of all pg_dump processes together; 0 is no\n"
            "limit. The dump's transaction is open for longer then.",
            kind="size",
            least=0,
        ),
    ] = 0
    nice: Annotated[
        int,
        Setting(
            "Priority of the pg_dump processes on this machine, as of nice(1): 0 is this program's, 19 the lowest.\n"
            "It does nothing for a server on another machine.",
            least=0,
            most=19,
        ),
    ] = 0
    role_passwords: Annotated[
        bool,
        Setting(
            "Whether archives of format v2 also hold what the server keeps of the passwords of roles, for restore\n"
            "--fresh. Only a superuser can read it."
        ),
    ] = False
    _parameters: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parameters = read_conninfo(self.conninfo)
        if unpassable := [key for key in _UNPASSABLE if key in parameters]:
            raise ConfigurationError(
                f"The connection parameter {unpassable[0]} cannot be given to pg_dump unseen.",
                hint="Use a key file without a passphrase and mode 0600, or another kind of login.",
            )
        check_limits(self)
        for name in (*self.preserve, *self.audit):
            Table.parse(name)
        parameters = {"connect_timeout": str(CONNECT_TIMEOUT), **_KEEPALIVES, **parameters}
        object.__setattr__(self, "_parameters", parameters)

    def __repr__(self) -> str:
        return f"PostgresSettings({self.where()!r}, preserve={self.preserve!r}, audit={self.audit!r})"

    @property
    def is_proven(self) -> bool:
        """Whether the server proves who it is: it is on this machine, or TLS is verified, or Kerberos is demanded.

        What a service file says is not known here, and taken for well.
        """
        modes = self._parameter("sslmode", "PGSSLMODE"), self._parameter("gssencmode", "PGGSSENCMODE")
        if modes[0] == "verify-full" or modes[1] == "require" or self._parameter("service", "PGSERVICE"):
            return True
        hosts = self._parameter("host", "PGHOST") or self._parameter("hostaddr", "PGHOSTADDR")
        return all(not host or host.startswith(("/", "@")) or is_here(host) for host in hosts.split(","))

    @property
    def lock_milliseconds(self) -> int:
        """``lock_timeout`` as PostgreSQL takes it."""
        return math.ceil(self.lock_timeout * 1000)

    def full_conninfo(self, *, connect_timeout: int | None = None, **extra: str) -> str:
        """The conninfo with its password, for a connection inside this process (timeout in seconds). Never log it.

        ``extra`` parameters win.
        """
        if connect_timeout:
            extra["connect_timeout"] = str(connect_timeout)
        return write_conninfo({**self._parameters, **extra})

    def public_conninfo(self, **extra: str) -> str:
        """The conninfo without secrets, for argument vectors (not for messages); ``extra`` parameters win."""
        return write_conninfo({**self._parameters, **extra, "password": None, "options": None})

    def environment(self) -> dict[str, str]:
        """The environment for pg_dump: this process's, and what the conninfo has of a password and options.

        Options may hold a secret of the application's, as ``-c app.key=…``.
        """
        environment = clean_environment()
        for name, variable in (("password", "PGPASSWORD"), ("options", "PGOPTIONS")):
            if name in self._parameters:
                environment[variable] = self._parameters[name]
        environment["LC_MESSAGES"] = environment["LC_ALL"] = "C.UTF-8"  # we read their messages
        return environment

    def where(self) -> str:
        """The server for messages, for example ``database app at db.example.org:5432``; nothing that is no name."""
        host, port, name = self._address()
        twice = repeated(self.conninfo)
        host = HIDDEN if twice & {"host", "hostaddr"} else shown_host(host)
        port = HIDDEN if "port" in twice else shown_port(port)
        name = HIDDEN if twice & {"dbname", "user"} else shown_name(name)
        return f"PostgreSQL at {host}:{port}" if name == HIDDEN else f"database {name} at {host}:{port}"

    def identity(self) -> str:
        """``where``, and where that leaves something out a digest of all, so that it still means one database."""
        address = self._address()
        where = self.where()
        if where == "database {2} at {0}:{1}".format(*address):
            return where
        return f"{where} #{hashlib.sha256(repr(address).encode()).hexdigest()[:16]}"

    def shown(self, said: str) -> str:
        """A message of libpq or the server, without pieces of the connection string that are no names."""
        for name in repeated(self.conninfo):
            if len(value := self._parameters[name]) > 2:
                said = said.replace(value, HIDDEN)
        names = (self._parameter("user", "PGUSER"), self._parameter("dbname", "PGDATABASE"))
        others = unshown(self._parameters, os.environ)
        return without_values(said, names, self._parameter("options", "PGOPTIONS"), others)

    def _address(self) -> tuple[str, str, str]:
        """Host, port and name of the database, as libpq finds them; not for messages."""
        host = self._parameter("host", "PGHOST") or self._parameter("hostaddr", "PGHOSTADDR") or "localhost"
        name = self._parameter("dbname", "PGDATABASE") or self._parameters.get("user", "")
        return host, self._parameter("port", "PGPORT") or "5432", name

    def _parameter(self, name: str, variable: str) -> str:
        return self._parameters.get(name) or os.environ.get(variable, "")
