r"""SQL that no pg_dump writes, made to reach a shell, a file, or the end of our transaction.

Each text stands between two tables that it makes; ``@file@`` is a path on the machine that restores.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hostile:
    """``refused``: no restore may execute it at all. ``thorough``: as of a case."""

    name: str
    text: str
    refused: bool = False
    thorough: bool = False


def _each(kind: str, texts: list[str], *, refused: bool = False, few: int = 0) -> list[Hostile]:
    """The first ``few`` are run with every change."""
    return [
        Hostile(f"{kind}: {' '.join(text.split())[:70]!a}", text, refused, thorough=number >= few)
        for number, text in enumerate(texts)
    ]


# The end of our transaction -------------------------------------------------------------------------------------------

_ENDS = [
    "COMMIT",
    "COMMIT AND CHAIN",
    "COMMIT WORK AND NO CHAIN",
    "ROLLBACK",
    "ROLLBACK AND CHAIN",
    "ABORT",
    "ABORT TRANSACTION",
    "END",
    "END WORK",
    "PREPARE TRANSACTION 'stolen'",
    "COMMIT PREPARED 'stolen'",
    "ROLLBACK PREPARED 'stolen'",
    "SAVEPOINT a",
    "SAVEPOINT a; ROLLBACK TO a",
    "SAVEPOINT a; RELEASE a",
    "BEGIN ISOLATION LEVEL SERIALIZABLE",
    "START TRANSACTION",
    "BEGIN",
    "BEGIN; SELECT 1; COMMIT",
]
_AROUND = [
    "/* x */ COMMIT;",
    "/* /* x */ ' */COMMIT;",
    "-- x\nCOMMIT;",
    "--\rCOMMIT;",
    "\t\r\n\f\vCOMMIT;",
    "\u00a0COMMIT;",
    "\ufeffCOMMIT;",
    "\u3000COMMIT;",
    "\u200bCOMMIT;",
    "\u2028COMMIT;",
    "COMMIT/**/;",
    "COMMIT--x\n;",
    ";;COMMIT;",
    "; ;\n;COMMIT",
    "SELECT 1; COMMIT; SELECT 2;",
    "CoMmIt;",
    "COMMIT\n\n;",
    "SELECT 1 \\; COMMIT;",
    "SELECT 1;COMMIT;--",
    "(COMMIT);",
    "SELECT $$a$$;COMMIT;",
    'SELECT 1 AS "a"";COMMIT;--\n";COMMIT;',
    "BEGIN;\nSELECT pg_catalog.lo_open('1', 131072);\nCREATE TABLE public.stolen (a int);\nCOMMIT;",
    "BEGIN;\nSELECT pg_catalog.lo_create('4711');\nSELECT pg_catalog.lo_open('4711', 131072);COMMIT;BEGIN;\nSELECT pg_catalog.lo_close(0);\nCOMMIT;",
    "BEGIN;\nSELECT pg_catalog.lo_close(set_config('client_encoding', 'SJIS', false)::int);\nCOMMIT;",
    "BEGIN;\nCOMMIT AND CHAIN;",
    "BEGIN;\nROLLBACK;",
    "BEGIN; BEGIN;\nCOMMIT;\nCOMMIT;",
    "COMMIT;\nBEGIN;",
]
_CUTS = [
    "SELECT E'a'\n'b\\' x' --y'; COMMIT; CREATE TABLE public.stolen (a int); --'\n;",
    "SET standard_conforming_strings = off; SELECT 'a\\' x' --y'; COMMIT; --'\n;",
    "SELECT E'a' -- c\n'b\\' x' --y'; COMMIT; --'\n;",
    "SELECT E'a' /* c */\n'b\\' x' --y'; COMMIT; --'\n;",
    "SELECT U&'a'\n'b\\' x' --y'; COMMIT; --'\n;",
    "SELECT e'a\\'' ; COMMIT; --';",
    "SELECT E'a''\\' ; '; COMMIT; --'",
    "SELECT N'a\\' ; COMMIT; --';",
    "CREATE /**/ FUNCTION public.ff() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; COMMIT; END;",
    "CREATE\nOR\nREPLACE--x\nFUNCTION public.ff() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END; COMMIT;",
    "CREATE FUNCTION public.ff() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END; COMMIT;",
    'CREATE FUNCTION public.ff() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1 AS "begin"; END; COMMIT;',
    "CREATE FUNCTION public.ff() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT begin.a FROM (SELECT 1 AS a) begin; END; COMMIT; END;",
    "CREATE PROCEDURE public.ff() LANGUAGE sql BEGIN ATOMIC END; COMMIT;",
    "CREATE TABLE public.begin (a int); COMMIT; CREATE TABLE public.atomic (a int);",
    "SELECT 1$a$; COMMIT; --$a$;",
    'SELECT a1$a$; COMMIT; --$a$ FROM (SELECT 1 AS "a1$a$") x;',
    "SELECT $begin; COMMIT; $begin$;",
    "SELECT $a$x$a$$b$;$b$; COMMIT;",
    "SELECT $a$ x $A$; COMMIT; --$a$;",
    "SELECT $é$; COMMIT; --$é$;",
    "SELECT $1$; COMMIT; --$1$;",
    "SELECT $a\u00a0$; COMMIT; --$a\u00a0$;",
    "SET standard_conforming_strings = off;\nSELECT B'01\\' ; COMMIT; --';",
    "SET standard_conforming_strings = off;\nSELECT X'01\\' ; COMMIT; --';",
    "SET standard_conforming_strings = off;\nSELECT U&'01\\' ; COMMIT; --';",
    "SET standard_conforming_strings = off;\nSELECT N'01\\' ; COMMIT; --';",
    "SET standard_conforming_strings = off;\nSELECT 'a' \n'b\\' ; COMMIT; --';",
    "SELECT 'a\\'; COMMIT; SELECT '';",
    "SELECT '\\\\'; COMMIT; SELECT '';",
    "SELECT /* ' */ 1; COMMIT; /* ' */",
    "SELECT 1 /*/*; COMMIT; */ ; COMMIT; */;",
    "SELECT 1 --/*\n; COMMIT; --*/",
    "SELECT 1 --\r; COMMIT;",
    "SELECT 1 @-- 2\n; COMMIT;",
    "SELECT 1 +/* ' */ 2; COMMIT; --'",
    'SELECT "a\\"; COMMIT; --";',
    'SELECT U&"a""; COMMIT; --" FROM (SELECT 1) x;',
    "SELECT U&'\\' UESCAPE '!'; COMMIT; --'",
    "CREATE RULE r AS ON INSERT TO public.first DO ALSO (SELECT 1; COMMIT; SELECT 2);",
    "CREATE RULE r AS ON INSERT TO public.first DO ALSO (SELECT 1; SELECT 2); COMMIT;",
    "DO $$ BEGIN COMMIT; END $$;",
    "DO $$ BEGIN EXECUTE 'COMMIT'; END $$;",
    "CREATE PROCEDURE public.pp() LANGUAGE plpgsql AS 'BEGIN COMMIT; END';\nCALL public.pp();",
    "CREATE PROCEDURE public.pp() LANGUAGE plpgsql AS 'BEGIN ROLLBACK; END';\nCALL public.pp();",
    "PREPARE c AS SELECT 1; COMMIT;",
]
_SET = {
    "DO": "DO $$ BEGIN PERFORM pg_catalog.set_config('{left}' || '{right}', '{value}', false); END $$;",
    "function": "CREATE FUNCTION public.ss() RETURNS text LANGUAGE sql AS $$SELECT pg_catalog.set_config('{left}' || '{right}', '{value}', false)$$;\nSELECT public.ss();",
    "CTE": "WITH x AS (SELECT pg_catalog.set_config('{left}' || '{right}', '{value}', false)) SELECT * FROM x;",
    "view": "UPDATE pg_catalog.pg_settings SET setting = '{value}' WHERE name = '{left}' || '{right}';",
    "SET": "SET {left}{right} = '{value}';",
    "SET LOCAL": "SET LOCAL {left}{right} TO '{value}';",
    "SET SESSION": "set /**/ session /**/ {left}{right} = '{value}';",
    "SELECT": "SELECT pg_catalog.set_config('{left}{right}', '{value}', false);",
    "SELECT with an escape": "SELECT set_config(E'{left}' '{right}', '{value}', true);",
    "insert": "INSERT INTO public.first SELECT length(set_config('{left}' || '{right}', '{value}', false));",
    "default": "CREATE TABLE public.dd (a text DEFAULT set_config('{left}' || '{right}', '{value}', false));\nINSERT INTO public.dd DEFAULT VALUES;",
    "comment": "COMMENT ON TABLE public.first IS 'x'; SELECT /* */ pg_catalog /* */ . \"set_config\" ('{left}' || '{right}', '{value}', false);",
    "matview": "CREATE MATERIALIZED VIEW public.mm AS SELECT set_config('{left}' || '{right}', '{value}', false) AS a;",
    "index": "CREATE FUNCTION public.ii(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$BEGIN PERFORM set_config('{left}' || '{right}', '{value}', false); RETURN 1; END$$;\n"
    "INSERT INTO public.first VALUES (1);\nCREATE INDEX ON public.first (public.ii(a));",
}
_READING = [
    ("standard_", "conforming_strings", "off", "SELECT 'a\\' x' --y'; COMMIT; --'\n;"),
    ("client_", "encoding", "SJIS", "SELECT 'Á'; COMMIT; --';"),
    ("client_", "encoding", "BIG5", "SELECT 'Á\\'; COMMIT; --';"),
    ("client_", "encoding", "LATIN1", "INSERT INTO public.first VALUES (length('é'));"),
    ("client_", "encoding", "SQL_ASCII", "SELECT 'é';"),
]
ENDS = [
    *_each("transaction", [f"{each};" for each in _ENDS], refused=True, few=4),
    *_each("transaction around", _AROUND, few=2),
    *_each("cut", _CUTS, few=10),
    *[
        Hostile(
            f"{left}{right} {value} by {way}, then more",
            f"{form.format(left=left, right=right, value=value)}\n{then}",
            thorough=way not in ("DO", "CTE", "view") or (left == "client_" and value != "SJIS"),
        )
        for left, right, value, then in _READING
        for way, form in _SET.items()
    ],
]

# A shell or a file on the machine that restores ------------------------------------------------------------------------

_SJIS = "DO $$ BEGIN PERFORM pg_catalog.set_config('client_'||'encoding','SJIS',false); END $$;\n"
SHELL = [
    Hostile(
        "foreign key that is held back, in SJIS",
        "CREATE TABLE public.nothing (a int);\n"
        + _SJIS
        + 'ALTER TABLE ONLY public.nothing ADD CONSTRAINT fkÁ FOREIGN KEY (xÁ"Á\\! (id) > @file@ Á\r --")'
        " REFERENCES public.backup_jobs (id);",
    ),
    Hostile(
        "foreign key that is held back, with a column of that name",
        'CREATE TABLE public.nothing (a int, "Á\\! touch @file@" int);\n'
        + _SJIS
        + 'ALTER TABLE ONLY public.nothing\n    ADD CONSTRAINT fk FOREIGN KEY ("Á\\! touch @file@") REFERENCES public.backup_jobs(id);',
        thorough=True,
    ),
    Hostile(
        "name of a table that is preserved, in SJIS",
        'CREATE TABLE public."Á\\! touch @file@" (a int REFERENCES public.backup_jobs);\n' + _SJIS,
        thorough=True,
    ),
    *_each(
        "psql",
        [
            "\\! touch @file@",
            "SELECT 1 \\g |touch @file@",
            "CREATE TABLE public.x (\n\\! touch @file@\na int);",
            "\\restrict x\n\\! touch @file@",
            "\\connect postgres",
            "\\i /etc/passwd",
            "\\ir /etc/passwd",
            "\\copy public.first to '@file@'",
            "\\copy public.first to program 'touch @file@'",
            "SELECT 'COMMIT' \\gexec",
            "SELECT 1 \\gset",
            "\\o @file@\nSELECT 1;",
            "\\o |touch @file@\nSELECT 1;",
            "SELECT 1;\n\\w @file@",
            "\\set x `touch @file@`",
            "\\setenv PAGER 'touch @file@'",
            "\\if true\n\\! touch @file@\n\\endif",
            "\\lo_export 1 '@file@'",
            "\\e",
            "\\q",
            "\\unrestrict wrong",
            "\\restrict",
            "\\restrict a b",
            "\\restrict 'a'\n",
            "\\RESTRICT x",
            "\\restrict x \\! touch @file@",
            "\\restrict `touch @file@`",
            "\\restrict x;\nSELECT 1;",
            " \\restrict x",
            "SELECT 1\\restrict x\n;",
            "\\unrestrict x\\! touch @file@",
            "\\restrict :x",
            "\\restrict x\r\\! touch @file@",
            "\\restrict x\u2028\\! touch @file@",
            "\\restrict \u00e9",
            "\\",
            "\\\\",
            "\\.",
            "SELECT 1 \\bind 1 \\g",
            "SELECT :x;",
            "SELECT :'x', :\"x\", :{?x};",
            "SELECT 1 \\; SELECT 2 \\crosstabview",
            "\\watch 1",
            "\\parse x",
            "\\copyright",
            "SELECT '\n\\! touch @file@\n';",
            "SELECT $$\n\\! touch @file@\n$$;",
            "/*\n\\! touch @file@\n*/",
            "-- x\\! touch @file@",
            'SELECT "\n\\! touch @file@\n" FROM (SELECT 1) x;',
            "CREATE FUNCTION public.ff() RETURNS int LANGUAGE sql BEGIN ATOMIC\n\\! touch @file@\nSELECT 1; END;",
            "COPY public.first (a) FROM stdin;\n1\n\\! touch @file@\n\\.",
            "COPY public.first (a) FROM stdin;\n\\! touch @file@\n\\.",
            "COPY public.first (a) FROM stdin;\n\\.\n\\! touch @file@",
        ],
        few=4,
    ),
    *_each(
        "COPY",
        [
            "COPY public.first FROM stdin WITH (FORMAT binary);",
            "COPY public.first TO STDOUT;",
            "COPY public.first TO PROGRAM 'touch @file@';",
            "COPY public.first FROM PROGRAM 'touch @file@';",
            "COPY public.first TO '@file@';",
            "COPY public.first FROM '/etc/passwd';",
            "COPY public.first FROM stdin WITH (FORMAT csv);\n1\n\\.",
            "COPY public.first FROM stdin (FORMAT 'binary');\n1\n\\.",
            "COPY public.first FROM stdin BINARY;\n1\n\\.",
            "COPY BINARY public.first FROM stdin;\n1\n\\.",
            "COPY public.first FROM stdin WITH (HEADER);\n1\n\\.",
            "COPY public.first FROM stdin DELIMITER ',';\n1\n\\.",
            "COPY public.first FROM stdin WHERE a > 0;\n1\n\\.",
            "COPY public.first FROM stdin WITH (ENCODING 'SJIS');\n1\n\\.",
            "COPY public.first FROM stdin WITH (FREEZE);\n1\n\\.",
            "COPY public.first FROM stdin WITH (ON_ERROR ignore);\nx\n\\.",
            "COPY (SELECT 1) TO STDOUT;",
            "COPY (SELECT 1) TO PROGRAM 'touch @file@';",
            "COPY (SELECT 1) TO STDOUT /* from stdin */;\n1\n\\.",
            "COPY public.first/**/FROM stdin;\n1\n\\.",
            "COPY public.first\nFROM\nstdin\n;\n1\n\\.",
            "COPY public.first FROM stdin; COMMIT;\n1\n\\.",
            "COPY public.first FROM stdin;COPY public.first FROM stdin;\n1\n\\.\n2\n\\.",
            "COPY public.first FROM STDIN\n;\n1\n\\.\n",
            "COPY public.first FROM stdin;\n1\n",
            "COPY public.first FROM stdin;\n1\n\\.x\nCOMMIT;\n\\.",
            "COPY public.first FROM stdin;\n1\n\\. \nCOMMIT;\n\\.",
            "COPY public.first FROM stdin;\r\n1\r\n\\.\r\n",
            "COPY public.nowhere FROM stdin;\n1\n\\.",
            "COPY public.first (nowhere) FROM stdin;\nCOMMIT;\n\\.",
            "COPY public.first (a, a) FROM stdin;\n1\t2\n\\.",
            "COPY public.first FROM stdin;\nx\n\\.\nCOMMIT;",
            "COPY public.first TO STDOUT WITH (FORMAT binary);",
            "COPY public.first FROM stdout;\n1\n\\.",
            'COPY "public"."first" FROM stdin;\n1\n\\.',
            'COPY public.first ("a") FROM stdin;\n1\n\\.',
            "DO $$ BEGIN EXECUTE 'COPY public.first FROM STDIN'; END $$;",
            "EXPLAIN ANALYZE SELECT 1;",
            "COPY public.first FROM stdin;\n\\N\n\\.",
            "COPY public.first FROM stdin;\n" + "1\t" * 2000 + "\n\\.",
            "CREATE VIEW public.vv AS SELECT 1 AS a;\nCOPY public.vv FROM stdin;\n1\n\\.",
            "COPY pg_catalog.pg_class FROM stdin;\n1\n\\.",
            "COPY pg_temp.kleidia_rows_1 FROM stdin;\n1\tx\n\\.",
        ],
        few=6,
    ),
]

# What our own statements stand on ---------------------------------------------------------------------------------------

_SETTINGS = [
    ("search", "_path", "evil, pg_catalog"),
    ("ro", "le", "pg_monitor"),
    ("session_", "authorization", "pg_monitor"),
    ("session_replication_", "role", "origin"),
    ("default_transaction_", "read_only", "on"),
    ("transaction_", "read_only", "on"),
    ("transaction_", "isolation", "serializable"),
    ("statement_", "timeout", "1"),
    ("lock_", "timeout", "1"),
    ("idle_in_transaction_session_", "timeout", "1"),
    ("transaction_", "timeout", "1"),
    ("client_min_", "messages", "debug5"),
    ("lc_", "messages", "de_DE.UTF-8"),
    ("Date", "Style", "German"),
    ("bytea_", "output", "escape"),
    ("row_", "security", "off"),
    ("check_function_", "bodies", "off"),
    ("extra_float_", "digits", "-15"),
    ("array_", "nulls", "off"),
    ("backslash_", "quote", "off"),
    ("transform_null_", "equals", "on"),
    ("event_", "triggers", "off"),
    ("quote_all_", "identifiers", "on"),
    ("exit_on_", "error", "on"),
    ("restrict_nonsystem_relation_", "kind", "view, foreign-table"),
    ("application_", "name", "x"),
    ("max_stack_", "depth", "100kB"),
    ("Interval", "Style", "sql_standard"),
    ("Time", "Zone", "Asia/Kolkata"),
    ("is_", "superuser", "off"),
]
_EVIL = """
CREATE SCHEMA evil;
CREATE FUNCTION evil.format(text, VARIADIC "any") RETURNS text LANGUAGE internal AS 'text_format';
CREATE FUNCTION evil.count("any") RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint';
CREATE FUNCTION evil.format(text, text) RETURNS text LANGUAGE sql AS $$SELECT 'DROP TABLE public.backup_jobs CASCADE'$$;
CREATE FUNCTION evil.eq(text, text) RETURNS bool LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR evil.= (function = evil.eq, leftarg = text, rightarg = text);
CREATE VIEW evil.pg_class AS SELECT * FROM pg_catalog.pg_class WHERE false;
CREATE VIEW evil.pg_attribute AS SELECT * FROM pg_catalog.pg_attribute WHERE false;
"""
OURS = [
    *[
        Hostile(
            f"{left}{right} by {way}",
            _EVIL + _SET[way].format(left=left, right=right, value=value),
            thorough=way != "DO"
            or left not in ("search", "ro", "statement_", "default_transaction_", "session_replication_"),
        )
        for left, right, value in _SETTINGS
        for way in ("DO", "SET", "SELECT", "view")
    ],
    *_each(
        "temporary",
        [
            "DELETE FROM pg_temp.kleidia_rows_1;",
            "DROP TABLE pg_temp.kleidia_rows_1;",
            "UPDATE pg_temp.kleidia_rows_1 SET s = 'evil';",
            "TRUNCATE pg_temp.kleidia_rows_1;",
            "INSERT INTO pg_temp.kleidia_rows_1 VALUES (77, 'evil');",
            "DROP TABLE pg_temp.kleidia_keep CASCADE;",
            "DELETE FROM pg_temp.kleidia_keep;",
            "DROP VIEW pg_temp.kleidia_shape CASCADE;",
            "DELETE FROM pg_temp.kleidia_part;",
            "UPDATE pg_temp.kleidia_keep SET rel = 'public.first';",
            "DELETE FROM pg_temp.kleidia_fk;",
            "DISCARD TEMP;",
            "DISCARD ALL;",
            "ALTER TABLE pg_temp.kleidia_rows_1 RENAME TO gone;",
            "ALTER TABLE pg_temp.kleidia_rows_1 SET SCHEMA public;",
            "ALTER TABLE pg_temp.kleidia_rows_1 ADD more int DEFAULT 7;",
            "ALTER TABLE pg_temp.kleidia_rows_1 DROP COLUMN s;",
            "CREATE RULE r AS ON SELECT TO pg_temp.kleidia_rows_1 DO INSTEAD SELECT 1 AS id, 'evil'::text AS s;",
            "DO $$ DECLARE r record; BEGIN FOR r IN SELECT oid::regclass::text AS n FROM pg_class WHERE relpersistence = 't' AND relkind = 'r' LOOP"
            " EXECUTE 'DELETE FROM ' || r.n; END LOOP; END $$;",
            "DO $$ DECLARE r record; BEGIN FOR r IN SELECT oid::regclass::text AS n FROM pg_class WHERE relpersistence = 't' AND relkind = 'r' LOOP"
            " EXECUTE 'DROP TABLE IF EXISTS ' || r.n || ' CASCADE'; END LOOP; END $$;",
            "CREATE TEMP TABLE kleidia_rows_1 (id int, s text);",
            "CREATE TEMP TABLE kleidia_rows_2 (id int);",
            "CREATE TEMP TABLE kleidia_now (n int);",
            "CREATE TEMP TABLE backup_jobs (id int, s text);",
            "CREATE TEMP TABLE pg_class (oid oid, relname name);",
            "CREATE FUNCTION pg_temp.format(text, text) RETURNS text LANGUAGE sql AS $$SELECT 'x'$$;",
            "CREATE TEMP VIEW pg_constraint AS SELECT * FROM pg_catalog.pg_constraint WHERE false;",
            "CREATE TYPE pg_temp.regclass AS ENUM ('a');",
            "CREATE SCHEMA pg_temp_99;",
            "CREATE TABLE public.kleidia_rows_1 (a int);",
            "CREATE TEMP TABLE left_over (a int) ON COMMIT PRESERVE ROWS;",
        ],
        few=6,
    ),
    *_each(
        "preserved",
        [
            "DROP TABLE public.backup_jobs CASCADE;",
            "DELETE FROM public.backup_jobs;",
            "ALTER TABLE public.backup_jobs RENAME TO other;",
            "CREATE TABLE public.backup_jobs (id int, x int);",
            "CREATE VIEW public.backup_jobs AS SELECT 1 AS id;",
            "UPDATE public.backup_jobs SET s = 'evil';",
            "INSERT INTO public.backup_jobs (s) VALUES ('evil');",
            "TRUNCATE public.backup_jobs CASCADE;",
            "ALTER TABLE public.backup_jobs SET SCHEMA pg_catalog;",
            "ALTER TABLE public.backup_jobs DROP COLUMN s;",
            "CREATE RULE r AS ON INSERT TO public.backup_jobs DO INSTEAD NOTHING;",
            "CREATE FUNCTION public.eat() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';\nCREATE TRIGGER eat BEFORE INSERT ON public.backup_jobs"
            " FOR EACH ROW EXECUTE FUNCTION public.eat();\nALTER TABLE public.backup_jobs ENABLE ALWAYS TRIGGER eat;",
            "SELECT setval('public.backup_jobs_id_seq', 1000);",
            "DROP OWNED BY CURRENT_USER CASCADE;",
        ],
        few=3,
    ),
    *_each(
        "session",
        [
            "SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid());",
            "SELECT pg_catalog.pg_cancel_backend(pg_catalog.pg_backend_pid());",
            "SELECT pg_catalog.pg_advisory_unlock_all();",
            "RESET ALL;",
            "DISCARD PLANS;",
            "DISCARD SEQUENCES;",
            "SET SESSION AUTHORIZATION pg_monitor;",
            "SET ROLE pg_monitor;",
            "RESET ROLE;",
            "RESET SESSION AUTHORIZATION;",
            "SET SESSION AUTHORIZATION DEFAULT;",
            "LISTEN x;",
            "NOTIFY x, 'y';",
            "UNLISTEN *;",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1;",
            "DECLARE c CURSOR FOR SELECT generate_series(1, 100000);\nFETCH ALL FROM c;\nCLOSE c;",
            "DECLARE c BINARY CURSOR FOR SELECT 1;\nFETCH c;",
            "PREPARE p AS SELECT 1;\nEXECUTE p;\nDEALLOCATE ALL;",
            "PREPARE p AS INSERT INTO public.first VALUES ($1);",
            "DEALLOCATE ALL;",
            "LOAD 'pgoutput';",
            "LOAD '/nowhere/x.so';",
            "VACUUM;",
            "CREATE DATABASE stolen;",
            "DROP DATABASE postgres;",
            "ALTER SYSTEM SET work_mem = '1MB';",
            "CREATE INDEX CONCURRENTLY ON public.first (a);",
            "REINDEX TABLE CONCURRENTLY public.kept;",
            "REINDEX DATABASE;",
            "CREATE TABLESPACE x LOCATION '/tmp';",
            "CHECKPOINT;",
            "CLUSTER;",
            "ANALYZE;",
            "LOCK TABLE public.kept IN ACCESS EXCLUSIVE MODE;",
            "SET TRANSACTION READ ONLY;",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY;",
            "SET CONSTRAINTS ALL DEFERRED;",
            "SET TRANSACTION SNAPSHOT '00000003-0000001B-1';",
            "SELECT pg_export_snapshot();",
            "SET NAMES 'SJIS';",
            "SET client_encoding TO DEFAULT;",
            "SET standard_conforming_strings TO DEFAULT;",
            "RESET client_encoding;",
            "RESET standard_conforming_strings;",
            "SET U&\"client_encoding\" = 'SJIS';",
            "SET \"client_encoding\" = 'SJIS';",
            "SHOW ALL;",
            "EXPLAIN SELECT 1;",
            "SELECT generate_series(1, 300000);",
            "SELECT repeat('x', 50000000);",
            "TABLE pg_catalog.pg_class;",
            "VALUES (1), (2);",
            "CREATE TABLE public.x AS SELECT 1; SELECT 1; SELECT 2;",
            "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '57P01'; END $$;",
            "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '08006'; END $$;",
            "DO $$ BEGIN RAISE EXCEPTION E'\\n\\r' USING ERRCODE = 'P0000'; END $$;",
            "DO $$ BEGIN RAISE WARNING 'x'; RAISE NOTICE 'COMMIT'; END $$;",
            "INSERT INTO public.nowhere VALUES (1);",
            "GRANT pg_execute_server_program TO pg_monitor;",
            "REVOKE pg_execute_server_program FROM pg_monitor;",
        ],
        few=4,
    ),
]

# Text that ends, and bytes that no text has -------------------------------------------------------------------------------

ENDINGS = [
    "SELECT 'a",
    'SELECT "a',
    "SELECT $$a",
    "SELECT $a$ x $a",
    "SELECT 1 /* x",
    "SELECT 1 -- x",
    "SELECT 1",
    "CREATE TABLE public.x (a int",
    "COPY public.first FROM stdin;",
    "COPY public.first FROM stdin;\n1",
    "COPY public.first FROM stdin;\n1\n\\",
    "COPY public.first FROM stdin;\n1\n\\.",
    "COPY public.first FROM stdin",
    "CREATE FUNCTION public.ff() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1;",
    "CREATE FUNCTION public.ff() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END",
    "BEGIN;\nSELECT pg_catalog.lo_open('4711', 131072);",
    "BEGIN;",
    "\\",
    "\\restrict",
    "\\restrict x",
    "\\!",
    "E'",
    "U&'",
    "$",
    "-",
    "/",
    "COMMIT",
    "ROLLBACK",
    "SELECT 1;\nCOMMIT",
    "/*",
    "--",
    ";",
    " ",
    "\n\n\n",
    "SELECT 'a\0b';",
    "SELECT 1;\0",
    "\0",
    "COPY public.first FROM stdin;\n1\0\n\\.\n",
    "SELECT '\ud800';",
    'CREATE TABLE public."\ud800" (a int);',
    "SELECT '\ufffe\uffff';",
    "\ufeff",
    "SELECT E'\\xff';",
    "SELECT U&'\\d800';",
    "SELECT E'\\u0000';",
    "SELECT '\u0001\u0007\u001b[2J';",
]

#: Between two tables that the archive makes.
# Rows that would be lost -----------------------------------------------------------------------------------------------

_THIRD = "CREATE TABLE public.third (a text, b text);"
_LOST = [
    # Servers before version 18 take what is before it for the last row, and nothing of what comes after it.
    f"{_THIRD}\nCOPY public.third (a, b) FROM stdin;\none\ttwo\\.\nthree\tfour\n\\.\n",
    f"{_THIRD}\nCOPY public.third (a, b) FROM stdin;\none\ttwo\n\\.\\.\nthree\tfour\n\\.\n",
    f"{_THIRD}\nCREATE FUNCTION public.none() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
    "CREATE TRIGGER none BEFORE INSERT ON public.third FOR EACH ROW EXECUTE FUNCTION public.none();"
    "ALTER TABLE public.third ENABLE ALWAYS TRIGGER none;\nCOPY public.third (a, b) FROM stdin;\none\ttwo\n\\.\n",
]
LOST = _each("rows", _LOST, refused=True, few=3)

BETWEEN = [*ENDS, *SHELL, *OURS, *LOST]
