"""The command ``export``: clear text only where it was asked for, whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from .conftest import Outcome
from .test_end_to_end import Installation, installation  # noqa: F401 - a fixture

PIN = "canary-of-the-vault"


@pytest.fixture(params=["v1", "v2"])
def archived(installation: Installation, request: pytest.FixtureRequest) -> tuple[Installation, str]:  # noqa: F811
    """An installation with an archive of this format, and its name."""
    installation.sql('CREATE SCHEMA "My App"')
    installation.sql('CREATE TABLE "My App"."Odd, Names" (a text, "b ""c""" text, n int)')
    installation.sql(
        """INSERT INTO "My App"."Odd, Names" VALUES (NULL, '', 1), ('', NULL, 2), (E'x,\\n\\t"\\\\', '\\.', 3)"""
    )
    installation.sql("CREATE TABLE nothing (a int)")
    name = installation.run("backup", "--format", request.param, "--json").json["name"]
    return installation, name


def shown(system: Installation, *arguments: str | Path) -> Outcome:
    """Call the command where it is meant to print a secret of the vault."""
    outcome = system.call("--config", system.config, *arguments)
    for secret in system.secrets:
        assert secret not in outcome.everything
    return outcome


def test_secrets_are_printed_on_a_word_only(archived: tuple[Installation, str]) -> None:
    """Without --show there is nothing but the advice; with it one line of JSON each."""
    system, name = archived
    refused = system.run("export", name, "--secret", "jwt")
    assert (refused.status, refused.out) == (2, "")
    for wrong in (
        ["--show"],
        ["--secret", "jwt", "--sql", "x"],
        ["--csv", "x"],
        ["--show", "--secret", "a", "--table", "b"],
    ):
        assert system.run("export", name, *wrong).status == 2
    seen = shown(system, "export", name, "--secret", "jwt,keys/[01]/*", "--show")
    assert seen.status == 0, seen.everything
    found = {line["path"]: line["value"] for line in map(json.loads, seen.out.splitlines())}
    assert found == {"jwt": {"secret": PIN}, "keys/0/piv": {"pin": PIN, "n": 0}, "keys/1/piv": {"pin": PIN, "n": 1}}
    (told,) = shown(system, "export", name, "--secret", "jwt", "--show", "--json").json["secrets"]
    assert (told["path"], json.loads(told["value"])) == ("jwt", {"secret": PIN})


def test_a_terminal_obeys_no_secret(archived: tuple[Installation, str]) -> None:
    """What it would not show is an escape, and the JSON says the same."""
    system, _ = archived
    value = {"a": "\x9b31m\u202e\U000e0001é", "b": "\x1b]0;x\x07"}
    system.kv.put("app/odd", value)
    name = system.run("backup", "--format", "v2", "--name", "backup-odd.enc", "--json").json["name"]
    seen = shown(system, "export", name, "--secret", "odd", "--show")
    assert json.loads(seen.out)["value"] == value
    assert all(char.isprintable() for char in seen.out.rstrip("\n"))


def test_secrets_into_a_file(archived: tuple[Installation, str], tmp_path: Path) -> None:
    """For its owner alone, with a warning, and never over another file without a word."""
    system, name = archived
    file = tmp_path / "secrets.jsonl"
    made = system.run("export", name, "--secrets", file, "--json")
    assert made.status == 0, made.everything
    assert (made.json["secrets"], made.json["size"]) == (6, file.stat().st_size)
    assert "is clear text" in made.err
    assert file.stat().st_mode & 0o777 == 0o600
    found = {line["path"]: line["value"] for line in map(json.loads, file.read_text().splitlines())}
    assert {f"app/{path}": value for path, value in found.items()} == system.kv.all()
    whole = file.read_bytes()
    again = system.run("export", name, "--secret", "jwt", "--secrets", file)
    assert (again.status, file.read_bytes()) == (2, whole)
    assert "exists already" in again.err
    assert system.run("export", name, "--secret", "jwt", "--secrets", file, "--overwrite").status == 0
    assert json.loads(file.read_text()) == {"path": "jwt", "value": {"secret": PIN}}
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.glob("*secrets*")] == ["secrets.jsonl"]


def test_what_is_not_there_makes_no_file(archived: tuple[Installation, str], tmp_path: Path) -> None:
    """The nearest names; a part that the archive has not; a wrong password; a folder that is not there."""
    system, name = archived
    before = sorted(tmp_path.iterdir())
    file = tmp_path / "file"
    secret = system.run("export", name, "--secret", "jwd", "--secrets", file)
    assert (secret.status, "Nearest are: jwt." in secret.err) == (2, True)
    assert system.run("export", name, "--secret", "jwd", "--show").status == 2
    table = system.run("export", name, "--table", "public.nodes", "--csv", file)
    assert (table.status, "Nearest are: public.notes" in table.err) == (2, True)
    part = system.run("backup", "--type", "vault", "--name", "backup-part.enc", "--json").json["name"]
    assert "no database part" in system.run("export", part, "--sql", file).err
    assert "no database part" in system.run("export", part, "--table", "public.notes", "--csv", file).err
    wrong = system.run("export", name, "--sql", file, environment={"KLEIDIA_BACKUP_PASSWORD": "x"})
    assert wrong.status == 4
    assert system.run("export", name, "--sql", tmp_path / "no" / "file").status == 2
    assert sorted(tmp_path.iterdir()) == before


def test_the_sql_restores_a_database(
    archived: tuple[Installation, str], tmp_path: Path, wheels_tools: None, new_database: Callable[[], str]
) -> None:
    """Psql takes it: it is pg_dump's script."""
    system, name = archived
    file = tmp_path / "all.sql"
    made = system.run("export", name, "--sql", file, "--json")
    assert (made.status, made.json["size"]) == (0, file.stat().st_size), made.everything
    other = new_database()
    command = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-1", "-f", str(file), other]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    with psycopg.connect(other) as connection:
        assert connection.execute("SELECT * FROM notes ORDER BY 1").fetchall() == system.sql(
            "SELECT * FROM notes ORDER BY 1"
        )


@pytest.mark.parametrize(
    ("given", "table"),
    [
        ("public.notes", "notes"),
        ("notes", "notes"),
        ("My App.Odd, Names", '"My App"."Odd, Names"'),
        ('"My App"."Odd, Names"', '"My App"."Odd, Names"'),
        ("public.nothing", "nothing"),
    ],
)
def test_the_rows_of_a_table(archived: tuple[Installation, str], given: str, table: str, tmp_path: Path) -> None:
    """As the server itself writes them, to the byte."""
    system, name = archived
    file = tmp_path / "rows.csv"
    made = system.run("export", name, "--table", given, "--csv", file, "--json")
    assert made.status == 0, made.everything
    with (
        psycopg.connect(system.conninfo) as connection,
        connection.cursor().copy(f"COPY {table} TO STDOUT (FORMAT csv, HEADER)".encode()) as rows,
    ):
        expected = b"".join(map(bytes, rows))
    assert file.read_bytes() == expected
    assert made.json["rows"] == len(list(csv.reader(io.StringIO(expected.decode())))) - 1
