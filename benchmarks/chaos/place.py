"""A small system with its stores, configurations and archives, on which one command at a time is killed."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import anyio
import psycopg
import pytest

from kleidia_backup import DirectorySettings, backup
from kleidia_backup.demo.servers.kv import Connection
from kleidia_backup.demo.servers.together import OpenBaoServer, PostgresServer, S3Server, start_servers
from tests import databases
from tests.faults.site import PART, PASSWORD, PREFIX, Database, Site, quick_keys
from tests.faults.site import contents as content_of
from tests.faults.small_parts import small_parts
from tests.formats import second_reader

from .commands import Commands, commands

Format: TypeAlias = Literal["v1", "v2"]
Store: TypeAlias = Literal["directory", "s3"]
FORMATS: tuple[Format, ...] = ("v1", "v2")
STORES: tuple[Store, ...] = ("directory", "s3")
#: What ``rewrap`` puts in the place of the password.
NEW_PASSWORD = "canary-another-password"
#: Days since the archives were made that every kill begins with, and those that retention keeps of them.
AGES, DAYS = (1, 2, 40, 41, 42), 30


@dataclass(frozen=True)
class Servers:
    """The three servers, which stay."""

    postgres: PostgresServer
    openbao: OpenBaoServer
    s3: S3Server


@dataclass
class Place:
    """The system, the command, and what a kill begins with.

    ``archives`` are those of the original by format, name and bytes, the newest first.
    """

    site: Site
    commands: Commands
    directory: Path
    archives: dict[Format, dict[str, bytes]] = field(default_factory=dict, repr=False)

    @property
    def state(self) -> Path:
        """Where restores keep their journal, and drills their reports."""
        return self.directory / "state"

    @property
    def store_path(self) -> Path:
        """The store that is a directory."""
        return self.directory / "store"

    def configuration(self, store: Store, *, password: str = PASSWORD, vault: str = "") -> Path:
        """A configuration for the command; ``vault`` is an address of it other than its own."""
        site, database = self.site, self.site.database.settings()
        if store == "s3":
            server = site.bucket.server
            where = {
                "type": "s3",
                "bucket": site.bucket.name,
                "endpoint": server.endpoint,
                "access_key_id": server.access_key,
                "secret_access_key": server.secret_key,
                "path_style": True,
            }
        else:
            where = {"type": "directory", "path": str(self.store_path)}
        roots = [("", site.application.path, "kleidia"), ("yubikeys/", site.yubikeys.path, "")]
        sections: dict[str, dict[str, Any]] = {
            "database": {"conninfo": database.full_conninfo(), "pg_dump": database.pg_dump},
            "vault": {"address": vault or site.vault.address},
            "vault.auth": {"token": site.vault.root_token},
            "store": where | {"prefix": PREFIX},
            "backup": {"state_dir": str(self.state), "part_size": PART if store == "s3" else 64 * 1024},
            "password": {"file": str(self.secret_file(password))},
            "retention": {"days": DAYS, "keep_at_least": 1},
        }
        lines: list[str] = []
        for name, values in sections.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        for prefix, mount, folder in roots:
            lines += ["[[vault.roots]]", f'prefix = "{prefix}"', f'mount = "{mount}"', f'path = "{folder}"']
        return self._file(f"{store}-{password}-{bool(vault)}.toml", "\n".join(lines) + "\n")

    def secret_file(self, password: str) -> Path:
        """A file with a password."""
        return self._file(f"{password}.password", password + "\n")

    def _file(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        return path

    def clear(self) -> None:
        """Begin anew after something went wrong."""
        with contextlib.suppress(OSError):
            self.site.mend()
        for path in self.commands.temporary.iterdir():
            shutil.rmtree(path, ignore_errors=True)
        for name in scratch_databases(self):
            self.site.database.look.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
        for name in scratch_mounts(self):
            self.site.vault.request("DELETE", f"sys/mounts/{name}")

    # The stores, looked at without the product ---------------------------------------------------------------------

    def put(self, store: Store, archives: dict[str, bytes]) -> None:
        """Let a store hold these, and nothing else."""
        if store == "s3":
            self.site.bucket.empty()
            for name, data in archives.items():
                self.site.s3.put_object(Bucket=self.site.bucket.name, Key=PREFIX + name, Body=data)
            return
        shutil.rmtree(self.store_path, ignore_errors=True)
        (self.store_path / PREFIX).mkdir(parents=True, mode=0o700)
        for name, data in archives.items():
            (self.store_path / PREFIX / name).write_bytes(data)

    def objects(self, store: Store) -> dict[str, bytes]:
        """What lies in a store under names that a listing shows, by name without the prefix."""
        if store == "s3":
            names = self.site.keys()
            got = (self.site.s3.get_object(Bucket=self.site.bucket.name, Key=name) for name in names)
            return {name.removeprefix(PREFIX): each["Body"].read() for name, each in zip(names, got, strict=True)}
        found = (self.store_path / PREFIX).iterdir()
        return {path.name: path.read_bytes() for path in found if not path.name.startswith(".")}

    def unfinished(self, store: Store) -> list[str]:
        """What an upload, or a change of an archive, has left there."""
        if store == "s3":
            uploads: list[str] = self.site.uploads()
            return uploads
        return [path.name for path in self.store_path.rglob(".*")]


def scratch_databases(place: Place) -> list[str]:
    """Databases that drills have made on the server."""
    query = "SELECT datname FROM pg_database WHERE datname LIKE 'kleidia_scratch_%'"
    return [name for (name,) in place.site.database.look.execute(query).fetchall()]


def scratch_mounts(place: Place) -> list[str]:
    """Mounts that drills have made in the vault."""
    _, answer = place.site.vault.request("GET", "sys/mounts")
    return [name for name in answer["data"] if name.startswith("kleidia-drill-")]


def opened(data: bytes, password: str) -> tuple[list[str], Any]:
    """What an archive of format V2 holds. Raises when this password does not open it."""

    def derive(password: str, _: dict[str, Any]) -> bytes:
        return b"".join(quick_keys(password.encode(), b"", 0, 0, 0))

    found = second_reader.members(data, password, derive)
    return second_reader.script(found).split("\n"), second_reader.secrets(found)


@contextmanager
def running_servers(directory: Path) -> Iterator[Servers]:
    """PostgreSQL, OpenBao, and a moto that takes parts of any size."""
    with start_servers(directory, s3=False, fsync=False) as started:
        databases.login_quickly(started.postgres)
        with small_parts(directory) as s3:
            yield Servers(started.postgres, started.openbao, s3)


@contextmanager
def place(directory: Path) -> Iterator[Place]:
    """A system on servers of its own, filled, backed up, and wrecked."""
    directory.mkdir(mode=0o711)
    with running_servers(directory / "servers") as servers, _place(servers, directory) as made:
        yield made


@contextmanager
def _place(servers: Servers, directory: Path) -> Iterator[Place]:
    for name in ("state", "store", "stock"):
        (directory / name).mkdir(mode=0o700, parents=True)
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(contextlib.closing(servers.s3.client()))
        name = stack.enter_context(databases.new_database(servers.postgres))
        look = stack.enter_context(psycopg.connect(servers.postgres.conninfo(name), autocommit=True))
        look.execute("SET lock_timeout = '5s'")
        vault = stack.enter_context(Connection(servers.openbao))
        one, other = (vault.mount(f"chaos-{secrets.token_hex(6)}") for _ in range(2))
        for mount in (one, other):
            stack.callback(replace(mount, server=servers.openbao).remove)
        bucket = servers.s3.create_bucket(f"chaos-{secrets.token_hex(6)}")
        database = Database(name, servers.postgres, look)
        site = Site(database, vault, one, other, bucket, client, directory / "state", directory / "stock")
        site.fill()
        made = Place(site, stack.enter_context(commands(directory)), directory)
        made.archives = {each: anyio.run(_archives, made, each) for each in FORMATS}
        site.wreck_database()
        site.wreck_vault()
        site.wrecked = site.state()
        site.content = _content(made)
        yield made


async def _archives(made: Place, archive_format: Format) -> dict[str, bytes]:
    """Archives of the original of several ages, as a backup made them then."""
    found: dict[str, bytes] = {}
    stock = DirectorySettings(made.directory / "stock", prefix=f"{archive_format}/")
    for days in AGES:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("kleidia_backup.pipeline.archives.claims.datetime", partial(_Then, days)())
            report = await backup(store=stock, format=archive_format, **_everything(made.site))
        found[report.name.removeprefix(stock.prefix)] = (stock.path / report.name).read_bytes()
    return found


class _Then:
    """Stands for ``datetime`` where a backup asks for the time."""

    def __init__(self, days: int) -> None:
        self._ago = timedelta(days=days)

    def now(self, _: object) -> datetime:
        return datetime.now(UTC) - self._ago


def _content(made: Place) -> tuple[list[str], Any]:
    """What a backup of the system as it is now holds."""
    stock = DirectorySettings(made.directory / "stock", prefix="now/")

    async def work() -> str:
        return (await backup(store=stock, **_everything(made.site))).name

    found: tuple[list[str], Any] = content_of((stock.path / anyio.run(work)).read_bytes(), quick=True)
    return found


def _everything(site: Site) -> dict[str, Any]:
    return {"database": site.database.settings(), "vault": site.vault_settings(), "password": PASSWORD}
