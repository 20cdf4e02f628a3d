"""The survey of an archive's SQL: facts for the verification and the dry run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from kleidia_backup.formats.sql.cut import SqlCutter, bare
from kleidia_backup.formats.sql.pieces import Sql
from kleidia_backup.stages.errors import DamagedArchive
from kleidia_backup.stages.pg.server.settings import Table
from kleidia_backup.stages.pg.survey import SqlSurvey

pytestmark = pytest.mark.anyio


def read(survey: SqlSurvey, chunks: Iterable[bytes]) -> None:
    """Read a text to its end."""
    for chunk in chunks:
        survey.feed(chunk)
    survey.finish()


def statements(text: bytes) -> int:
    """How many statements a text has."""
    cutter = SqlCutter()
    pieces = [*cutter.feed(text), *cutter.finish()]
    return sum(isinstance(piece, Sql) and piece.first and bool(bare(piece.data)) for piece in pieces)


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
    read(survey, chunks)
    facts = survey.facts
    users, jobs, third = Table("public", "users"), Table("public", "backup_jobs"), Table("Other One", "Tab.le")
    assert facts.tables == {users, jobs, third}
    assert facts.rows == {third: 1234, users: 2}
    assert facts.extensions == {"citext"}
    assert facts.schemas == {"Other One"}
    assert {name, "postgres"} <= facts.roles
    assert "public" not in facts.roles
    assert facts.versions == (18, 18)
    assert (facts.relations_made, facts.objects) == (8, 7)
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
    read(survey, await db.dump())
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
        (b"SELECT 'a\0';\n'; COMMIT; --'\n;\n", "a NUL byte"),
        (b"COPY t FROM stdin;\na\0b\n\\.\n", "a NUL byte"),
        (b"COPY (SELECT 1) TO STDOUT /* from stdin */;\nCOMMIT;\n\\.\n", "a COPY that is not from stdin"),
        (b"COPY t/**/FROM stdin;\n'\n\\.\nCOMMIT;\n", "a COPY that is not from stdin"),
        (b"COPY t FROM stdin; COMMIT;\n1\n\\.\n", "something behind a COPY on its line"),
        (b"COPY t FROM stdin WITH (FORMAT csv);\n\\.x\n'\n\\.\nCOMMIT; --'\n", "or has options"),
        (b"SELECT set_config('standard_conforming_strings','off',false);\n", "changes how psql reads it"),
        (b"SELECT 1, set_config('standard_'||'conforming_strings','off',false);\n", "changes how psql reads it"),
        (b"SET/**/standard_conforming_strings = off;\n", "changes how psql reads it"),
        (b"SET standard_conforming_strings = 0;\n", "changes how psql reads it"),
        (b"SET SESSION standard_conforming_strings TO off;\nSELECT 'x\\', '; COMMIT; --'\n;\n", "the statement COMMIT"),
        (b"SET client_encoding = 'SJIS';\n", "changes how psql reads it"),
        (b"UPDATE pg_settings SET setting = 'off' WHERE name = 'standard_conforming_strings';", "changes how psql"),
        (b"SELECT E'a'\n'x\\'' ; COMMIT; --\n';\n", "the statement COMMIT"),
        (b"SELECT E'a''\\' ; '; COMMIT; --'\n", "the statement COMMIT"),
        (b"SELECT 1; -- x\rCOMMIT;\n", "the statement COMMIT"),
        (b"--" + b" " * 300_000 + b"\nCOMMIT;\n", "a comment that is too long"),
        (b"SELECT 1; -- " + b"x" * 100_000 + b" '" + b"x" * 200_000 + b"\nCOMMIT; --'\n", "comment that is too long"),
        (b"\t" * 300_000 + b"COMMIT;\n", "a comment that is too long"),
        (b"SELECT 1" + b"1" * 300_000 + b"\n;\n", "a word without an end"),
    ],
)
async def test_what_cannot_be_restored_in_one_transaction_is_refused(text: bytes, what: str) -> None:
    """Before anything is written anywhere."""
    with pytest.raises(DamagedArchive, match=what) as caught:
        read(SqlSurvey(), [text[at : at + 100_000] for at in range(0, len(text), 100_000)])
    assert caught.value.layer == "payload"


async def test_inserts_are_counted_too() -> None:
    """An archive of another writer may hold INSERT statements in place of COPY."""
    survey = SqlSurvey()
    read(survey, [b"CREATE TABLE t (a int);\nINSERT INTO t VALUES (1);\nINSERT INTO public.t VALUES (2);\n"])
    assert sum(survey.facts.rows.values()) == 2


@pytest.mark.parametrize("text", [b"SELECT 1;", b"SELECT 1; -- done", b"SELECT 1; /* ; */", b"COPY t FROM stdin;\n\\."])
async def test_the_last_line_needs_no_end(text: bytes) -> None:
    """Editors and other writers may leave it out."""
    survey = SqlSurvey()
    read(survey, [text])
    assert statements(text) == 1


async def test_a_name_begin_in_a_body_is_only_a_name() -> None:
    """The server needs no quotes around it, and pg_dump writes none."""
    text = (
        b"CREATE FUNCTION public.first_begin() RETURNS date LANGUAGE sql\n"
        b"    BEGIN ATOMIC\n SELECT p.begin FROM public.period p;\nEND;\n"
        b"COPY t FROM stdin;\n\\.\n\\unrestrict x\n"
    )
    survey = SqlSurvey()
    read(survey, [text])
    assert statements(text) == 2


async def test_what_pg_dump_writes_is_never_refused_for_a_name(db: Any) -> None:
    """Names and texts that look like what is refused are only names and texts."""
    db.execute(
        "CREATE TABLE client_encoding (standard_conforming_strings serial, names text DEFAULT E'\\\\')",
        "COMMENT ON TABLE client_encoding IS E'\\n\\\\! ls\\rCOMMIT;\\\\'",
        "CREATE MATERIALIZED VIEW mv_client_encoding AS SELECT * FROM client_encoding",
        "INSERT INTO client_encoding VALUES (1, E'\\\\.'), (2, 'set_config')",
        "CREATE TABLE nothing ()",
        "CREATE FUNCTION set_config() RETURNS text LANGUAGE sql SET client_encoding = 'SJIS' AS $$SELECT 'COMMIT;'$$",
        'CREATE TABLE "begin" ("end" int, "a ""b"" (c," text)',
    )
    survey = SqlSurvey()
    read(survey, await db.dump())
    assert len(survey.facts.tables) == 3


async def test_blank_lines_of_a_function_are_read_once() -> None:
    """Not once for each of them: that took five minutes for each of these two, as a hostile archive would have it."""
    blank = b"\n" * 260_000
    made = (
        b"CREATE FUNCTION public.%s() RETURNS integer%s LANGUAGE sql AS 'SELECT 1';\n" % (name, blank)
        for name in (b"f", b"g")
    )
    survey = SqlSurvey()
    read(survey, made)
    assert {each.name for each in survey.facts.routines} == {"f", "g"}
