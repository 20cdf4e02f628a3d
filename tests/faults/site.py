"""One small system for all faults: a database, two vault mounts and a bucket, how they are, and how they must be."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import sql
from psycopg.conninfo import make_conninfo

from kleidia_backup import DirectorySettings, PostgresSettings, Root, S3Settings, TokenAuth, VaultSettings
from kleidia_backup.demo.servers.kv import KvMount
from kleidia_backup.demo.servers.together import Bucket, OpenBaoServer, PostgresServer
from kleidia_backup.formats.crypto.seal import derive_key
from kleidia_backup.pipeline.parts.request import Format
from kleidia_backup.stages.vault.undo.journal import dismiss, unfinished

from ..archive_format import FORMATS, current
from ..buckets import s3_settings
from ..formats import second_reader

PASSWORD = "canary-encryption-password"
#: Small parts, so that a small archive has several of them.
PART = 12 * 1024
PREFIX = "backups/"
SECRETS = 12

SCHEMA = """
CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE notes (id serial PRIMARY KEY, user_id int REFERENCES users(id), body text);
CREATE TABLE backup_jobs (
    id serial PRIMARY KEY, status text, triggered_by int REFERENCES users(id) ON DELETE SET NULL
);
CREATE TABLE audit_logs (id serial PRIMARY KEY, action text);
INSERT INTO users (name) SELECT 'user ' || n FROM generate_series(1, 20) n;
INSERT INTO notes (user_id, body) SELECT 1 + n % 20, sha512(n::text::bytea)::text FROM generate_series(1, 600) n;
INSERT INTO backup_jobs (status, triggered_by) VALUES ('completed', 1), ('failed', 20);
INSERT INTO audit_logs (action) SELECT 'login' FROM generate_series(1, 20);
"""
#: What makes of the original database the one that a restore meets; again after a restore that succeeded.
WRECK = """
UPDATE users SET name = 'wrong';
DELETE FROM notes WHERE id % 2 = 0;
"""

_RESTRICT = re.compile(r"^\\(un)?restrict .*$", re.MULTILINE)


#: Database and vault.
State: TypeAlias = tuple[dict[str, Any], dict[str, Any]]


def quick_key(password: str, salt: bytes) -> bytes:
    """Stands for Argon2id, which takes a tenth of a second each time."""
    return hashlib.sha256(password.encode()).digest()


def _key(seed: str) -> str:
    """Five thousand characters that no compression makes less than half of."""
    return "".join(hashlib.sha512(f"{seed} {part}".encode()).hexdigest() for part in range(40))


def quick_keys(password: bytes, salt: bytes, t: int, m: int, p: int) -> tuple[bytes, bytes]:
    """The same for format V2."""
    derived = hashlib.sha512(password).digest()
    return derived[:32], derived[32:]


def _quick(password: str, slot: dict[str, Any]) -> bytes:
    return b"".join(quick_keys(password.encode(), b"", 0, 0, 0))


def contents(data: bytes, *, quick: bool) -> tuple[list[str], Any]:
    """What an archive holds, by code that is not the product's; ``quick`` when its key is not derived by Argon2id.

    The SQL as sorted lines, for rows have no order, and without the random word of each dump.
    """
    if data[:17] == b"KLEIDIA_BACKUP_V2":
        found = second_reader.members(data, PASSWORD, _quick if quick else second_reader.argon2id)
        return _lines(second_reader.script(found)), second_reader.secrets(found)
    assert data[:17] == b"KLEIDIA_BACKUP_V1"
    start = 21 + int.from_bytes(data[17:21], "big")
    nonce, sealed = data[start + 32 : start + 44], data[start + 44 :]
    assert json.loads(data[21:start])["checksum"] == hashlib.sha256(sealed).hexdigest()
    key = (quick_key if quick else derive_key)(PASSWORD, data[start : start + 32])
    payload = json.loads(gzip.decompress(AESGCM(key).decrypt(nonce, sealed, None)))
    return _lines(payload["database_sql"]), payload["vault_secrets"]


def _lines(script: str) -> list[str]:
    return sorted(_RESTRICT.sub("", script).split("\n"))


@dataclass
class Database:
    """One database with its contents; ``look`` is a connection for looking at it."""

    name: str
    server: PostgresServer
    look: psycopg.Connection = field(repr=False)

    def settings(self, port: int | None = None, *, connect_timeout: int = 2) -> PostgresSettings:
        """Settings that lead there, through a proxy when its port is given; the limit in seconds."""
        more = {"port": str(port)} if port else {}
        bin_dir = self.server.bin_dir
        return PostgresSettings(
            make_conninfo(
                self.server.conninfo(self.name),
                sslmode="disable",
                gssencmode="disable",
                connect_timeout=connect_timeout,
                **more,
            ),
            pg_dump=str(bin_dir / "pg_dump"),
        )

    def state(self) -> dict[str, Any]:
        """Every relation, and each table's rows as one digest. Waits for no lock longer than five seconds."""
        relations = self.look.execute(
            "SELECT relname, relkind::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
        ).fetchall()
        found: dict[str, Any] = {"relations": relations}
        for name, kind in relations:
            if kind == "r":
                rows = sql.SQL("SELECT count(*), md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM {} t")
                found[name] = self.look.execute(rows.format(sql.Identifier(name))).fetchone()
        return found

    def nobody_holds_it(self) -> None:
        """Take the lock that every job holds, waiting for a session that is just ending."""
        self.look.execute("SELECT pg_advisory_lock(1263289409, 1), pg_advisory_unlock(1263289409, 1)")


@dataclass
class Site:
    """The whole system, its mounts seen over one connection that stays open.

    ``original`` is what the archives ``archives`` hold, ``archive`` the one of the test's format,
    ``wrecked`` is what every test meets.
    """

    database: Database
    vault: OpenBaoServer
    application: KvMount
    yubikeys: KvMount
    bucket: Bucket
    s3: Any = field(repr=False)
    #: Where restores keep their journal.
    journal: Path
    #: Holds the original again, sealed as a real backup is, for processes of their own.
    directory: Path
    original: State = field(default=({}, {}), repr=False)
    wrecked: State = field(default=({}, {}), repr=False)
    #: What a backup of the wrecked system holds.
    content: tuple[list[str], Any] = field(default=([], {}), repr=False)

    @property
    def archive(self) -> str:
        """The name of the archive of the test's format."""
        return self.archive_of(current())

    def archive_of(self, each: Format) -> str:
        """The name of the archive of a format."""
        return f"backup-original-{each}.enc"

    @property
    def archives(self) -> list[str]:
        """The names of the objects that are always there."""
        return [PREFIX + self.archive_of(each) for each in FORMATS]

    def vault_settings(self, address: str = "", *, patient: bool = False, **changes: Any) -> VaultSettings:
        """Settings that lead to the vault, through a proxy when its address is given; ``patient`` with real limits."""
        quick = {"retry_base": 0.01, "retry_cap": 0.05, "retry_budget": 0.5, "start_budget": 0.5}
        return VaultSettings(
            address or self.vault.address,
            TokenAuth(self.vault.root_token),
            (Root("", self.application.path, "kleidia"), Root("yubikeys/", self.yubikeys.path)),
            **(changes if patient else quick | changes),
        )

    def store_settings(self, endpoint: str = "", **changes: Any) -> S3Settings:
        """Settings that lead to the bucket, through a proxy when its address is given."""
        quick = {"attempts": 3, "backoff": 0.01, "read_timeout": 10.0, "operation_timeout": 10.0}
        where = {"endpoint": endpoint or self.bucket.server.endpoint, "prefix": PREFIX}
        return s3_settings(self.bucket, **(where | quick | changes))

    def directory_settings(self) -> DirectorySettings:
        """Settings that lead to the directory."""
        return DirectorySettings(self.directory, prefix=PREFIX)

    def secrets(self) -> dict[str, Any]:
        """Every secret."""
        return {mount.path: mount.all() for mount in (self.application, self.yubikeys)}

    def state(self) -> State:
        """Everything in the database and in the vault."""
        return self.database.state(), self.secrets()

    def fill(self) -> None:
        """The original."""
        self.database.look.execute(SCHEMA)
        self.fill_vault()
        self.original = self.state()

    def fill_vault(self) -> None:
        for n in range(SECRETS):
            self.yubikeys.put(f"{n:02d}/piv", {"key": _key(f"right {n}"), "n": n})
        self.application.put("kleidia/jwt-secret", {"secret": "original"})
        self.application.put("kleidia/deep/er/one", {})

    def wreck_database(self) -> None:
        """The database as a restore meets it; again after one that succeeded."""
        self.database.look.execute(WRECK)

    def wreck_vault(self) -> None:
        """The vault as a restore meets it: some secrets changed, some gone, some as they were."""
        for n in range(0, SECRETS, 2):
            self.yubikeys.put(f"{n:02d}/piv", {"key": _key(f"wrong {n}")})
        for n in (1, 3):
            self.yubikeys.delete(f"{n:02d}/piv")
        self.application.delete("kleidia/deep/er/one")

    def mend(self) -> None:
        """As ``wrecked`` again, whatever a test has left."""
        if unfinished(self.journal):
            dismiss(self.journal)
        self.database.look.execute("DROP TABLE IF EXISTS users, notes, backup_jobs, audit_logs CASCADE")
        self.database.look.execute(SCHEMA)
        self.wreck_database()
        self.fill_vault()
        self.wreck_vault()
        for key in set(self.keys()) - set(self.archives):
            self.remove(key.removeprefix(PREFIX))
        for each in self.s3.list_multipart_uploads(Bucket=self.bucket.name).get("Uploads", []):
            self.s3.abort_multipart_upload(Bucket=self.bucket.name, Key=each["Key"], UploadId=each["UploadId"])

    def is_wrecked(self) -> bool:
        """Whether a test finds what it must meet."""
        whole = self.keys() == self.archives and not self.uploads() and not unfinished(self.journal)
        return whole and self.state() == self.wrecked

    def locate(self, path: str) -> tuple[str, str]:
        """Mount and path of a secret by its path in the archive."""
        if path.startswith("yubikeys/"):
            return self.yubikeys.path, path.removeprefix("yubikeys/")
        return self.application.path, f"kleidia/{path}"

    def keys(self) -> list[str]:
        """The names of all objects."""
        return sorted(each["Key"] for each in self.s3.list_objects_v2(Bucket=self.bucket.name).get("Contents", []))

    def uploads(self) -> list[str]:
        """The names of all unfinished uploads."""
        found = self.s3.list_multipart_uploads(Bucket=self.bucket.name).get("Uploads", [])
        return sorted(each["Key"] for each in found)

    def read(self, name: str) -> tuple[list[str], Any]:
        """What an archive in the bucket holds."""
        return contents(self.s3.get_object(Bucket=self.bucket.name, Key=PREFIX + name)["Body"].read(), quick=True)

    def remove(self, name: str) -> None:
        """Delete an archive."""
        self.s3.delete_object(Bucket=self.bucket.name, Key=PREFIX + name)
