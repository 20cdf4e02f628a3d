"""Settings: names are read exactly, secrets stay inside."""

from __future__ import annotations

import pytest

from kleidia_backup.stages.errors import ConfigurationError
from kleidia_backup.stages.pg.server.settings import PostgresSettings, Table, quote_identifier, quote_literal

SECRET = "hunter2-canary"


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("backup_jobs", Table("", "backup_jobs")),
        ("Backup_Jobs", Table("", "backup_jobs")),
        ("app.backup_jobs", Table("app", "backup_jobs")),
        ('"My App"."Backup ""Jobs"""', Table("My App", 'Backup "Jobs"')),
        ('app."a.b"', Table("app", "a.b")),
    ],
)
def test_table_names_are_read_as_sql_reads_them(text: str, table: Table) -> None:
    """Plain names are folded to lower case, quoted ones kept."""
    assert Table.parse(text) == table
    assert Table.parse(str(table)) == table


@pytest.mark.parametrize("text", ["", "a.b.c", "a.", ".a", "two words", '"open', 'a"b"', '""'])
def test_what_is_no_table_name_is_refused(text: str) -> None:
    """The error quotes the text and says how to write it."""
    with pytest.raises(ConfigurationError, match="is not the name of a table"):
        PostgresSettings("dbname=x", preserve=(text,))


@pytest.mark.parametrize(
    "conninfo", [f"postgresql://me:{SECRET}@db:5433/app", f"host=db port=5433 user=me dbname=app password={SECRET}"]
)
def test_the_password_reaches_the_environment_and_nothing_else(conninfo: str) -> None:
    """Neither repr nor the conninfo for argument vectors holds it."""
    settings = PostgresSettings(conninfo)
    assert SECRET not in repr(settings) + settings.public_conninfo() + settings.where()
    assert settings.environment()["PGPASSWORD"] == SECRET
    assert SECRET in settings.full_conninfo()
    assert settings.where() == "database app at db:5433"


def test_no_child_gets_the_secrets_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither ours nor those that the vault's and the store's own tools read."""
    for name in ("KLEIDIA_X", "VAULT_TOKEN", "BAO_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("PGSSLMODE", "require")
    environment = PostgresSettings("dbname=x").environment()
    assert SECRET not in environment.values()
    assert environment["PGSSLMODE"] == "require"


def test_a_peer_that_vanished_is_noticed() -> None:
    """By keepalives, unless the conninfo says otherwise."""
    assert "keepalives_idle=30" in PostgresSettings("dbname=x").full_conninfo()
    assert "keepalives_idle=7 " in PostgresSettings("dbname=x keepalives_idle=7").full_conninfo() + " "


@pytest.mark.parametrize("seconds", [-1, 1e7, float("nan")])
def test_a_lock_timeout_that_the_server_would_refuse_is_refused(seconds: float) -> None:
    """Before it reaches anybody."""
    with pytest.raises(ConfigurationError, match="lock_timeout"):
        PostgresSettings("dbname=x", lock_timeout=seconds)
    assert PostgresSettings("dbname=x", lock_timeout=0.0001).lock_milliseconds == 1


@pytest.mark.parametrize("seconds", [-1, 0, 1e7, float("nan")])
def test_a_query_timeout_that_cannot_be_is_refused(seconds: float) -> None:
    """No limit at all would let a silent server hold a job's questions for as long as the job may take."""
    with pytest.raises(ConfigurationError, match="query_timeout"):
        PostgresSettings("dbname=x", query_timeout=seconds)


def test_a_passfile_is_left_to_libpq(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its path is no secret; no password is set beside it."""
    monkeypatch.delenv("PGPASSWORD", raising=False)
    settings = PostgresSettings("dbname=app passfile=/etc/pass")
    assert "passfile=/etc/pass" in settings.public_conninfo()
    assert "PGPASSWORD" not in settings.environment()


@pytest.mark.parametrize("conninfo", [f"host=db {SECRET}", f"postgresql://me:{SECRET}@db:port:5/x?{SECRET}=1"])
def test_a_conninfo_that_cannot_be_read_is_not_quoted(conninfo: str) -> None:
    """The message of libpq may hold a piece of the password; ours does not, and does not chain it."""
    with pytest.raises(ConfigurationError) as caught:
        PostgresSettings(conninfo)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_secrets_that_cannot_be_passed_unseen_are_refused() -> None:
    """There is no environment variable for them, and no secret goes to a command line."""
    with pytest.raises(ConfigurationError, match="sslpassword"):
        PostgresSettings(f"dbname=x sslpassword={SECRET}")


def test_quoting() -> None:
    """Quotes are doubled, backslashes survive either way of reading strings."""
    assert quote_identifier('a"b') == '"a""b"'
    assert quote_literal("it's") == "'it''s'"
    assert quote_literal("a\\b'") == "E'a\\\\b'''"
