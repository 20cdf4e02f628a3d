"""Event triggers do not run in a restore, whoever made them and however they are enabled; plpgsql may be missing."""

from __future__ import annotations

from typing import Any

import pytest

from kleidia_backup.stages.errors import RestoreFailed
from kleidia_backup.stages.pg.preservation import preserve
from kleidia_backup.stages.pg.preservation.scripts import QUIET

from .test_preserve import JOBS, USERS

pytestmark = pytest.mark.anyio

REFUSES = (
    "CREATE FUNCTION no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no DDL'; END$$",
    "CREATE EVENT TRIGGER et ON ddl_command_start EXECUTE FUNCTION no_ddl()",
    "CREATE EVENT TRIGGER et_end ON ddl_command_end EXECUTE FUNCTION no_ddl()",
    "CREATE EVENT TRIGGER et_drop ON sql_drop EXECUTE FUNCTION no_ddl()",
    "ALTER EVENT TRIGGER et_drop DISABLE",
)
STATES = "SELECT evtname::text, evtenabled, evtowner::regrole::text FROM pg_event_trigger ORDER BY 1"


@pytest.fixture(params=["silenced", "disabled one by one"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the server's version has it, and as before version 17."""
    if request.param == "disabled one by one":
        monkeypatch.setattr(preserve, "silence", lambda _: (QUIET, ()))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("state", ["ENABLE", "ENABLE ALWAYS", "ENABLE REPLICA", "DISABLE"])
@pytest.mark.parametrize("made", ["in the archive", "since"])
async def test_event_triggers_that_refuse_everything(db: Any, other: Any, state: str, made: str) -> None:
    """Nothing of a restore runs them, and afterwards they are as they were."""
    triggers = [*REFUSES, f"ALTER EVENT TRIGGER et_end {state}", f"ALTER EVENT TRIGGER et {state}"]
    schema = (*USERS, JOBS.format(""), "CREATE MATERIALIZED VIEW m AS SELECT * FROM users")
    db.execute(*schema, "INSERT INTO backup_jobs (triggered_by) VALUES (1)")
    db.execute(*(triggers if made == "in the archive" else ()))
    chunks = await db.dump()
    db.execute(*(triggers if made == "since" else ()))
    before = db.query(STATES)
    assert len(before) == 3
    for target in (db, other) if made == "in the archive" else (db,):
        session = await target.restore(chunks)
        assert session.report.warnings == []
        assert target.query(STATES) == before
        assert target.query("SELECT name FROM m ORDER BY 1") == [("ann",), ("bob",), ("cyd",)]
    if state in ("ENABLE", "ENABLE ALWAYS"):
        with pytest.raises(Exception, match="no DDL"):
            db.execute("CREATE TABLE more ()")


async def test_a_failure_leaves_them_enabled(db: Any) -> None:
    """They are switched off in the transaction alone."""
    db.execute(*USERS)
    chunks = await db.dump()
    db.execute(*REFUSES, "ALTER EVENT TRIGGER et ENABLE ALWAYS")
    before = db.query(STATES)
    with pytest.raises(RestoreFailed, match="division by zero"):
        await db.restore([*chunks, b"SELECT 1/0;\n"])
    assert db.query(STATES) == before


async def test_a_role_that_may_not_says_which(db: Any, make_role: Any) -> None:
    """What will run all the same is known beforehand."""
    name, theirs = make_role(db)
    db.execute(f"ALTER DATABASE {db.value('SELECT current_database()')} OWNER TO {name}", *REFUSES)
    db.execute("ALTER EVENT TRIGGER et_end ENABLE REPLICA")
    planned = preserve.plan_preservation(theirs.settings, (), None)
    assert (planned.firing, planned.quiet) == (("et",), "")
    db.execute(f"GRANT SET ON PARAMETER session_replication_role TO {name}")
    try:
        assert preserve.plan_preservation(theirs.settings, (), None).firing == ("et_end",)
    finally:
        db.execute(f"REVOKE SET ON PARAMETER session_replication_role FROM {name}")
        db.execute("DROP EVENT TRIGGER et", "DROP EVENT TRIGGER et_end", "DROP EVENT TRIGGER et_drop")


async def test_a_database_without_plpgsql(db: Any) -> None:
    """Our scripts need it: it is made for them, and gone again."""
    db.execute(*USERS, JOBS.format(""), "DROP EXTENSION plpgsql")
    chunks = await db.dump()
    db.execute("INSERT INTO backup_jobs (what) VALUES ('live')")
    session = await db.restore(chunks)
    assert session.report.warnings == []
    assert db.value("SELECT count(*) FROM pg_language WHERE lanname = 'plpgsql'") == 0
    assert db.query("SELECT what FROM backup_jobs") == [("live",)]


async def test_an_archive_that_needs_plpgsql_where_it_is_missing(db: Any, other: Any) -> None:
    """Then it stays."""
    other.execute("DROP EXTENSION plpgsql")
    db.execute("CREATE FUNCTION one() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'")
    await other.restore(await db.dump())
    assert other.value("SELECT one()") == 1
