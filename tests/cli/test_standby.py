"""A hot standby: a good place to take a backup from, and none to restore to."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from kleidia_backup.demo.servers.postgres import PostgresServer, binaries

from ..clusters import StandbyPair
from ..dumps import difference, dump, run_script
from .conftest import Outcome

_SEQUENCE = re.compile(r"SELECT pg_catalog.setval\('public.(\w+)', (\d+), true\);")

_SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE people (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, mood mood);
CREATE TABLE notes (person int REFERENCES people, body text);
CREATE TABLE backup_jobs (id serial PRIMARY KEY, status text);
CREATE VIEW moods AS SELECT id, mood, count(*) FROM people GROUP BY id;
INSERT INTO people (name, mood) SELECT 'Name ' || i, 'happy' FROM generate_series(1, 500) i;
INSERT INTO notes SELECT i, repeat('note ', i) FROM generate_series(1, 50) i;
INSERT INTO backup_jobs (status) VALUES ('completed');
SELECT lo_from_bytea(4711, 'large');
"""


@dataclass
class Replicated:
    """A database that both servers have, and the command with a configuration for each of them."""

    pair: StandbyPair
    name: str
    call: Callable[..., Outcome] = field(repr=False)
    directory: Path

    @property
    def primary(self) -> str:
        """The conninfo at the primary."""
        return self.pair.primary.conninfo(self.name)

    @property
    def standby(self) -> str:
        """The conninfo at the standby."""
        return self.pair.standby.conninfo(self.name)

    def run(self, conninfo: str, *arguments: str) -> Outcome:
        """Call the command for a database, with archives in one directory."""
        where = {key: str(value) for key, value in conninfo_to_dict(conninfo).items()}
        files = {"password": where["password"], "archive": "correct horse battery staple"}
        for name, text in files.items():
            (self.directory / name).write_text(text, encoding="utf-8")
        (self.directory / "store").mkdir(exist_ok=True)
        config = self.directory / "config.toml"
        config.write_text(
            f"""
[database]
host = "{where["host"]}"
port = {where["port"]}
name = "{where["dbname"]}"
user = "{where["user"]}"
password_file = "password"
pg_dump = "{binaries() / "pg_dump"}"
[password]
file = "archive"
[store]
type = "directory"
path = "store"
""",
            encoding="utf-8",
        )
        return self.call("--config", config, *arguments)

    def backup(self, conninfo: str) -> str:
        """Back up the database; the archive's name."""
        made = self.run(conninfo, "backup", "--type", "database", "--name", f"{secrets.token_hex(4)}.enc", "--json")
        assert made.status == 0, made.everything
        return str(made.json["name"])


@pytest.fixture
def replicated(
    standby_pair: StandbyPair, call: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Replicated]:
    """A filled database that the standby shows too."""
    monkeypatch.setenv("PATH", str(binaries()), prepend=":")
    name = f"replicated_{secrets.token_hex(4)}"
    _execute(standby_pair.primary, f"CREATE DATABASE {name}")
    system = Replicated(standby_pair, name, call, tmp_path)
    run_script(system.primary, _SCHEMA)
    standby_pair.catch_up()
    yield system
    _execute(standby_pair.primary, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(server: PostgresServer, statement: str) -> None:
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute(statement.encode())


def _sequences(lines: list[str]) -> dict[str, int]:
    return {match.group(1): int(match.group(2)) for line in lines if (match := _SEQUENCE.match(line))}


def _fixed(lines: list[str]) -> list[str]:
    return [_SEQUENCE.sub(r"\1", line) for line in lines]


def test_a_backup_from_the_standby_is_one_from_the_primary(replicated: Replicated) -> None:
    """Restored one after the other, both leave the database as it was; sequences of a standby may be up to 32 ahead."""
    before = dump(replicated.primary)
    for conninfo in (replicated.standby, replicated.primary):
        name = replicated.backup(conninfo)
        run_script(replicated.primary, "DROP TABLE notes; DELETE FROM people WHERE id > 9; SELECT lo_unlink(4711)")
        restored = replicated.run(replicated.primary, "restore", name, "--yes")
        assert restored.status == 0, restored.everything
        after = dump(replicated.primary)
        assert 500 <= _sequences(after)["people_id_seq"] <= 532
        assert not difference(_fixed(before), _fixed(after))
        replicated.pair.catch_up()


def test_rows_that_a_standby_does_not_have_are_named(replicated: Replicated) -> None:
    """The rows of an unlogged table are on the primary only: one from the standby says that it is not everything."""
    run_script(replicated.primary, "CREATE UNLOGGED TABLE fleeting AS SELECT 1 AS x")
    replicated.pair.catch_up()
    whole = replicated.run(replicated.primary, "backup", "--type", "database", "--name", "whole.enc")
    assert whole.status == 0, whole.everything
    made = replicated.run(replicated.standby, "backup", "--type", "database", "--name", "standby.enc", "--json")
    assert made.status == 8, made.everything
    assert any("fleeting" in warning and "standby" in warning for warning in made.json["warnings"])


@pytest.mark.parametrize("option", ["--yes", "--dry-run"])
def test_a_restore_to_a_standby_is_refused(replicated: Replicated, option: str) -> None:
    """It is said to be a standby in one line, the dry run finds it too, and nothing is changed."""
    name = replicated.backup(replicated.primary)
    before = dump(replicated.primary)
    refused = replicated.run(replicated.standby, "restore", name, option)
    assert refused.status in {"--yes": (5,), "--dry-run": (5, 8)}[option], refused.everything
    assert any("standby" in line for line in refused.everything.splitlines())
    replicated.pair.catch_up()
    assert not difference(before, dump(replicated.primary))
    assert not difference(_fixed(before), _fixed(dump(replicated.standby)))
