"""The embedded servers, filled to what benchmarks ask for. PostgreSQL and OpenBao (raft) write to the disk."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from kleidia_backup import DirectorySettings, PostgresSettings, Root, S3Settings, TokenAuth, VaultSettings
from kleidia_backup.demo import content
from kleidia_backup.demo.fill import fill_database
from kleidia_backup.demo.servers.s3 import S3Server
from kleidia_backup.demo.servers.together import Servers

from . import bare
from .configuration import configuration

#: Bytes of SQL text that one row of the audit log becomes (its details are what fills it up).
AUDIT_ROW = 700


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much a form measures: keys and rows, megabytes of SQL, and the pairs between which memory may not grow."""

    keys: int
    audit_rows: int
    memory_keys: tuple[int, int]
    memory_rows: tuple[int, int]
    million: tuple[int, int]


FULL = Sizes(50_000, 1_000_000, (1_000, 50_000), (143_000, 1_430_000), (50_000, 1_000_000))
SHORT = Sizes(10_000, 143_000, (1_000, 10_000), (14_300, 143_000), (20_000, 100_000))


@cache
def secret_bodies(keys: int) -> tuple[tuple[str, bytes], ...]:
    """The bodies of writes for so many keys, by their archive paths: the application's own, and one folder a key."""
    rng = random.Random(1)
    own = [(path, value) for path, value in content.system_secrets(rng)]
    piv = [(f"yubikeys/{content.serial(number)}/piv", content.piv(number, rng)) for number in range(keys)]
    return tuple((path, json.dumps({"data": value, "options": {"cas": 0}}).encode()) for path, value in own + piv)


@dataclass
class System:
    """Running servers. What was filled once is kept and given again."""

    servers: Servers
    directory: Path
    _databases: dict[tuple[int, int], PostgresSettings] = field(default_factory=dict)
    _vaults: dict[int, VaultSettings] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def database(self, keys: int, audit_rows: int) -> PostgresSettings:
        """A database for so many keys with so many rows in its audit log, ``AUDIT_ROW`` bytes of SQL text each."""
        key = keys, audit_rows
        if key not in self._databases:
            settings = self.empty_database()
            fill_database(settings.full_conninfo(), keys=keys, audit_logs=0)
            grow(settings.full_conninfo(), audit_rows)
            self._databases[key] = settings
        return self._databases[key]

    def empty_database(self) -> PostgresSettings:
        """A new one."""
        postgres = self.servers.postgres
        name = f"bench_{next(self._numbers)}"
        with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            connection.execute("CHECKPOINT")
        return PostgresSettings(postgres.conninfo(name), pg_dump=str(postgres.bin_dir / "pg_dump"))

    def drop_database(self, settings: PostgresSettings) -> None:
        """Remove one, and leave nothing to write behind."""
        name = psycopg.conninfo.conninfo_to_dict(settings.full_conninfo())["dbname"]
        with psycopg.connect(self.servers.postgres.conninfo(), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(str(name))))
            connection.execute("CHECKPOINT")

    @contextmanager
    def empty_databases(self) -> Iterator[Callable[[], PostgresSettings]]:
        """Gives one after another; each is removed when the next is asked for, the last at the end."""
        made: list[PostgresSettings] = []

        def removed() -> None:
            while made:
                self.drop_database(made.pop())

        def empty() -> PostgresSettings:
            removed()
            made.append(self.empty_database())
            return made[0]

        try:
            yield empty
        finally:
            removed()

    def vault(self, keys: int) -> VaultSettings:
        """A vault with so many keys in folders of their own, and the application's own secrets."""
        if keys not in self._vaults:
            settings = self.empty_vault()
            bare.write_vault(settings, placed(settings, secret_bodies(keys)))
            self._vaults[keys] = settings
        return self._vaults[keys]

    def empty_vault(self) -> VaultSettings:
        """Two new mounts."""
        openbao = self.servers.openbao
        number = next(self._numbers)
        own, keys = openbao.mount(f"secret{number}"), openbao.mount(f"yubikeys{number}")
        return VaultSettings(
            address=openbao.address,
            auth=TokenAuth(openbao.root_token),
            roots=(Root("", own.path, "kleidia"), Root("yubikeys/", keys.path)),
        )

    def store(self) -> DirectorySettings:
        """A new directory for archives, on the disk where the servers have their data."""
        path = self.directory / f"store-{next(self._numbers)}"
        path.mkdir(mode=0o700)
        return DirectorySettings(path)

    def configured(
        self,
        *,
        database: PostgresSettings | None = None,
        vault: VaultSettings | None = None,
        store: DirectorySettings | S3Settings,
        **limits: Any,
    ) -> Path:
        """A configuration file for the command, of its own and with a state of its own."""
        file = self.directory / f"command-{next(self._numbers)}.toml"
        return configuration(file, database=database, vault=vault, store=store, state=self.state(), **limits)

    def state(self) -> Path:
        """A new directory for the journal of a restore."""
        path = self.directory / f"state-{next(self._numbers)}"
        path.mkdir(mode=0o700)
        return path


def uploaded(s3: S3Server, bucket: str, archive: Path) -> S3Settings:
    """The same archive in a bucket of an S3 server, where it has the file's name."""
    made = s3.create_bucket(bucket)
    made.put(archive.name, archive.read_bytes())
    return S3Settings(
        made.name,
        endpoint=s3.endpoint,
        region=s3.region,
        access_key_id=s3.access_key,
        secret_access_key=s3.secret_key,
    )


def placed(settings: VaultSettings, bodies: tuple[tuple[str, bytes], ...]) -> Iterator[tuple[str, bytes]]:
    """Archive paths as paths of the vault's API, below its roots."""
    own, keys = settings.roots
    for path, body in bodies:
        if path.startswith(keys.prefix):
            yield f"{keys.mount}/data/{path.removeprefix(keys.prefix)}", body
        else:
            yield f"{own.mount}/data/{own.folder}{path}", body


def grow(conninfo: str, rows: int) -> None:
    """Add rows to the audit log, made by the server itself: requests with what changed, ``AUDIT_ROW`` bytes each."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO audit_logs (user_id, action, ip_address, hostname, details, created_at)"
            " SELECT 1 + n %% 5, (ARRAY['login', 'key.enrolled', 'key.revoked', 'pin.reset'])[1 + n %% 4],"
            " '10.' || n %% 199 || '.' || n %% 256 || '.1', 'host-' || n %% 50 || '.example.org',"
            " jsonb_build_object('serial', (10000000 + n * 7)::text, 'request', md5(n::text)::uuid,"
            " 'agent', 'Mozilla/5.0 (X11; Linux x86_64; rv:' || 100 + n %% 30 || '.0) Gecko/20100101 Firefox/99',"
            " 'path', '/api/v1/yubikeys/' || 10000000 + n * 7 || '/piv', 'n', n, 'ok', n %% 17 <> 0,"
            " 'session', encode(sha256(n::text::bytea), 'base64'),"
            " 'reason', E'routine \"rotation\"\\nof a key: ' || md5((n %% 977)::text),"
            " 'before', jsonb_build_object('pin_retries', n %% 4, 'status', 'active', 'etag', md5((n * 3)::text)),"
            " 'after', jsonb_build_object('pin_retries', 3, 'status', 'revoked', 'etag', md5((n * 5)::text))),"
            " timestamptz '2026-01-17 12:00+00' + n * interval '1 second' FROM generate_series(1, %s) n",
            (rows,),
        )
        connection.execute("VACUUM ANALYZE")
