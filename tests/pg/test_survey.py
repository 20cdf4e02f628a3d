"""The survey of an archive's SQL: facts for the verification and the dry run."""

from __future__ import annotations

from typing import Any

import pytest

from kleidia_backup.pipeline.engine.testing import run_sink
from kleidia_backup.stages.errors import DamagedArchive
from kleidia_backup.stages.pg.settings import Table
from kleidia_backup.stages.pg.survey import SqlSurvey

pytestmark = pytest.mark.anyio


async def test_a_real_dump_is_counted_to_the_row(db: Any, make_role: Any) -> None:
    """Tables, rows, extensions, schemas, roles and versions of a dump are those of the database."""
    name, _ = make_role(db)
    db.execute(
        "CREATE EXTENSION citext",
        'CREATE SCHEMA "Other One"',
        'CREATE TABLE "Other One"."Tab.le" (id int, t text)',
        """INSERT INTO "Other One"."Tab.le" SELECT n, E'a\\nb\\\\.' FROM generate_series(1, 1234) AS n""",
        "CREATE TABLE users (id serial PRIMARY KEY, mail citext UNIQUE)",
        "INSERT INTO users (mail) VALUES ('a'), ('b')",
        "CREATE TABLE backup_jobs (id int)",
        "INSERT INTO backup_jobs VALUES (1)",
        f"GRANT SELECT ON users TO {name}, PUBLIC",
    )
    survey = SqlSurvey()
    chunks = await db.dump()
    await run_sink(survey, chunks)
    facts = survey.facts
    users, jobs, third = Table("public", "users"), Table("public", "backup_jobs"), Table("Other One", "Tab.le")
    assert facts.tables == {users, jobs, third}
    assert facts.rows == {third: 1234, users: 2}
    assert facts.extensions == {"citext"}
    assert facts.schemas == {"Other One"}
    assert {name, "postgres"} <= facts.roles
    assert "public" not in facts.roles
    assert facts.versions == (18, 18)
    assert facts.bytes == sum(map(len, chunks))
    assert facts.objects >= 8
    assert not facts.truncated


async def test_what_else_a_dump_makes(db: Any, make_role: Any) -> None:
    """Views, sequences, routines and types by name; those in whose name something is done apart from grantees."""
    owner, _ = make_role(db)
    reader, _ = make_role(db)
    db.execute(
        "CREATE TYPE mood AS ENUM ('a')",
        "CREATE DOMAIN short AS text",
        "CREATE SEQUENCE numbers",
        "CREATE TABLE t (id serial)",
        'CREATE VIEW "V" AS SELECT 1 AS a',
        "CREATE RECURSIVE VIEW r (n) AS SELECT 1",
        "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a",
        "CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS $$SELECT 1; SELECT length('; CREATE VIEW x AS')$$",
        "CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1'",
        "CREATE AGGREGATE total(int) (sfunc = int4pl, stype = int)",
        f"ALTER TABLE t OWNER TO {owner}",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT SELECT ON TABLES TO {reader}",
    )
    survey = SqlSurvey()
    await run_sink(survey, await db.dump())
    facts = survey.facts
    assert {each.name for each in facts.relations} == {"numbers", "t_id_seq", "V", "r", "m"}
    assert {each.name for each in facts.routines} == {"f", "p", "total"}
    assert {each.name for each in facts.types} == {"mood", "short"}
    assert {each.schema for each in facts.relations | facts.routines | facts.types} == {"public"}
    assert {owner, reader} <= facts.roles
    assert owner in facts.owners
    assert reader not in facts.owners


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"SELECT 1;\nCOMMIT;\nDROP TABLE x;\n", "the statement COMMIT"),
        (b"SELECT 1; end;\n", "the statement end"),
        (b"-- hello\nSTART TRANSACTION;\n", "the statement START"),
        (b"BEGIN;\nSELECT 1;\nCOMMIT;\n", "the statement SELECT among large objects"),
        (b"BEGIN;\nSELECT pg_catalog.lo_close(0);\n", "large objects without an end"),
        (b"BEGIN;\nSELECT pg_catalog.lo_close(0);\nCOMMIT;\nCOMMIT;\n", "the statement COMMIT"),
        (b"SELECT 1;\n\\connect other\n", r"the psql command \\connect"),
        (b"\\! rm -rf /\n", r"the psql command \\!"),
        (b"COPY t FROM stdin;\n1\n", "in the middle of a table's rows"),
        (b"CREATE TABLE t (a int", "in the middle of a statement"),
    ],
)
async def test_what_cannot_be_restored_in_one_transaction_is_refused(text: bytes, what: str) -> None:
    """Before anything is written anywhere."""
    with pytest.raises(DamagedArchive, match=what) as caught:
        await run_sink(SqlSurvey(), [text])
    assert caught.value.layer == "payload"


async def test_inserts_are_counted_too() -> None:
    """An archive of another writer may hold INSERT statements in place of COPY."""
    survey = SqlSurvey()
    await run_sink(survey, [b"CREATE TABLE t (a int);\nINSERT INTO t VALUES (1);\nINSERT INTO public.t VALUES (2);\n"])
    assert sum(survey.facts.rows.values()) == 2
