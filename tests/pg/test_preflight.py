"""What is asked before a backup or a restore: tools, server, rights."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from kleidia_backup.stages.errors import DatabaseForbidden, DatabaseUnreachable, ToolError
from kleidia_backup.stages.pg.server.connect import connect
from kleidia_backup.stages.pg.server.preflight import check_backup, find_tables
from kleidia_backup.stages.pg.server.settings import Table
from kleidia_backup.stages.pg.server.tools import find_tool

pytestmark = pytest.mark.anyio


async def test_the_server_tells_what_a_backup_must_know(db: Any) -> None:
    """Version, size, encoding and rights of the role, and which of the configured tables exist."""
    db.execute("CREATE TABLE backup_jobs (id int)", "CREATE TABLE audit_logs (id int)")
    tool, facts = await check_backup(db.settings)
    assert tool.version == (facts.server_version // 10000, facts.server_version % 10000)
    assert facts.size > 1_000_000
    assert (facts.encoding, facts.superuser, facts.replica) == ("UTF8", True, True)
    with connect(db.settings) as connection:
        assert find_tables(connection, db.settings.preserve) == (Table("public", "backup_jobs"),)
        assert find_tables(connection, db.settings.audit) == (Table("public", "audit_logs"),)


async def test_a_name_without_schema_is_found_by_the_search_path_first(db: Any) -> None:
    """Only when the search path finds none, tables of that name elsewhere are meant."""
    db.execute("CREATE SCHEMA a", "CREATE TABLE a.backup_jobs (id int)", "CREATE TABLE a.audit_logs (id int)")
    db.execute("CREATE TABLE public.backup_jobs (id int)")
    with connect(db.settings) as connection:
        assert find_tables(connection, db.settings.preserve) == (Table("public", "backup_jobs"),)
        assert find_tables(connection, db.settings.audit) == (Table("a", "audit_logs"),)


async def test_a_missing_pg_dump_names_what_to_install(db: Any) -> None:
    """The message names the program, the hint the package."""
    there = db.using(pg_dump="/nowhere/pg_dump")
    with pytest.raises(ToolError, match=r"/nowhere/pg_dump was not found.*postgresql-client"):
        await check_backup(there.settings)


async def test_a_pg_dump_older_than_the_server_is_refused(db: Any, script: Any) -> None:
    """Both versions are named, and where the old one lies."""
    old = script("pg_dump", "exit 1", version="15.18 (Debian 15.18-0+deb12u1)")
    with pytest.raises(ToolError, match=r"pg_dump is version 15\.18, too old for the server's 18\.\d+"):
        await check_backup(db.using(pg_dump=old).settings)


async def test_a_program_of_another_kind_is_refused(script: Any, tmp_path: Any) -> None:
    """Whatever answers without a version is not PostgreSQL's."""
    path = tmp_path / "pg_dump"
    path.write_text("#!/bin/sh\necho hello\n")
    path.chmod(0o755)
    with pytest.raises(ToolError, match="gave no version"):
        await find_tool(str(path))


async def test_nobody_listens(db: Any) -> None:
    """A refused connection names the address."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        there = db.using(conninfo=make_conninfo(db.settings.conninfo, port=port))
        with pytest.raises(DatabaseUnreachable, match=rf"127\.0\.0\.1:{port}.*Connection refused"):
            await check_backup(there.settings)


async def test_a_wrong_password_is_told_apart_and_not_shown(db: Any) -> None:
    """DatabaseForbidden, without the password."""
    there = db.using(conninfo=make_conninfo(db.settings.conninfo, password="wrong-canary"))
    with pytest.raises(DatabaseForbidden, match="password authentication failed") as caught:
        await check_backup(there.settings)
    assert "canary" not in str(caught.value)


async def test_no_such_database(db: Any) -> None:
    """The message says that the database is what is missing."""
    there = db.using(conninfo=make_conninfo(db.settings.conninfo, dbname="nowhere"))
    with pytest.raises(DatabaseUnreachable, match='no database "nowhere"'):
        await check_backup(there.settings)


async def test_missing_rights_are_named_table_by_table(db: Any, make_role: Any) -> None:
    """Tables, sequences and schemas that the role cannot read, and rows that row security hides from it."""
    db.execute(
        "CREATE TABLE open (id int)",
        'CREATE TABLE "Closed" (id serial)',
        "CREATE SCHEMA hidden",
        "CREATE TABLE hidden.thing (id int)",
        "CREATE TABLE secured (id int)",
        "ALTER TABLE secured ENABLE ROW LEVEL SECURITY",
    )
    name, theirs = make_role(db)
    db.execute(f"GRANT SELECT ON open, secured TO {name}")
    with pytest.raises(DatabaseForbidden) as caught:
        await check_backup(theirs.settings)
    message = str(caught.value)
    assert f'The role "{name}" cannot read' in message
    for missing in ("schema hidden", 'table public."Closed"', 'sequence public."Closed_id_seq"', "hidden.thing"):
        assert missing in message
    assert "table public.secured (row security)" in message
    assert "public.open" not in message
    db.execute(f"GRANT pg_read_all_data TO {name}", f"ALTER ROLE {name} BYPASSRLS")
    _, facts = await check_backup(theirs.settings)
    assert (facts.superuser, facts.replica) == (False, False)
