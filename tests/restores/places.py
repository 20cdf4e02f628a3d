"""Where a restore goes: roles with few rights, databases that are not as initdb made them, event triggers."""

from __future__ import annotations

from .case import Case, both

APP = """
CREATE TABLE t (id serial PRIMARY KEY, x text);
INSERT INTO t (x) VALUES ('canary one');
CREATE VIEW v AS SELECT * FROM t;
CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
CREATE TABLE backup_jobs (id serial PRIMARY KEY, s text);
"""
SCHEMA = "CREATE SCHEMA app; CREATE TABLE app.t (id int PRIMARY KEY, x text); INSERT INTO app.t VALUES (1, 'canary');"

ROLES = [
    *both(
        Case(
            "owner of the database",
            f"{APP}{SCHEMA} CREATE EXTENSION hstore; CREATE TYPE mood AS ENUM ('a');",
            role="owner",
        )
    ),
    Case("owner of the tables", APP, role="tables"),
    Case(
        "owner of the tables, with rows to give back",
        f"{APP} INSERT INTO backup_jobs (s) VALUES ('canary');",
        "DROP TABLE t CASCADE; CREATE VIEW t AS SELECT 1 AS id; INSERT INTO backup_jobs (s) VALUES ('later')",
        wanted=f"{APP} INSERT INTO backup_jobs (s) VALUES ('canary'), ('later');",
        role="tables",
    ),
    Case(
        "owner of the tables without CREATE on the schema",
        APP,
        "RESET ROLE; REVOKE CREATE ON SCHEMA public FROM @role@",
        role="tables",
        outcome="refused",
        says=("public", "CREATE", "@role@"),
    ),
    Case(
        "owner of the tables into a fresh database",
        APP,
        role="tables",
        target="empty",
        outcome="refused",
        says=("public", "CREATE", "@role@"),
    ),
    Case(
        "owner of the tables into a fresh database with CREATE",
        APP,
        role="tables",
        target="empty",
        there="GRANT USAGE, CREATE ON SCHEMA public TO @role@",
    ),
    Case(
        "owner of the tables into a fresh database, a schema of its own",
        SCHEMA.replace("CREATE SCHEMA app;", "RESET ROLE;CREATE SCHEMA app AUTHORIZATION @role@; SET ROLE @role@;"),
        role="tables",
        target="empty",
        outcome="refused",
        says=("CREATE", "@database@", "@role@"),
        thorough=True,
    ),
    Case(
        "table of another owner",
        f"{APP} RESET ROLE; CREATE TABLE other (a int); GRANT SELECT ON other TO @role@;",
        role="tables",
        outcome="refused",
        says=("other",),
    ),
    Case(
        "table that got another owner",
        APP,
        "RESET ROLE; ALTER TABLE t OWNER TO pg_monitor",
        role="tables",
        outcome="refused",
        says=("table", "t"),
        thorough=True,
    ),
    Case(
        "view in the way that has another owner",
        APP,
        "RESET ROLE; GRANT SELECT ON t TO pg_monitor; CREATE VIEW later_view AS SELECT * FROM t;"
        "ALTER VIEW later_view OWNER TO pg_monitor",
        role="tables",
        outcome="either",
        says=("later_view",),
        thorough=True,
    ),
    Case(
        "view in the way that has another owner, of the database's owner",
        APP,
        "RESET ROLE; GRANT SELECT ON t TO pg_monitor;"
        "CREATE VIEW later_view AS SELECT * FROM t; ALTER VIEW later_view OWNER TO pg_monitor",
        role="owner",
        outcome="either",
        says=("later_view",),
        warns=("later_view",),
    ),
    Case(
        "going back as the owner of the tables",
        f"{APP} CREATE UNIQUE INDEX t_u ON t (x);",
        "ALTER TABLE t ADD CONSTRAINT t_u UNIQUE USING INDEX t_u; ALTER TABLE t ALTER id DROP DEFAULT; DROP SEQUENCE t_id_seq;"
        "ALTER TABLE t ALTER id ADD GENERATED ALWAYS AS IDENTITY; CREATE VIEW later_view AS SELECT * FROM v;"
        "DROP FUNCTION f; CREATE PROCEDURE f(int) LANGUAGE sql AS 'SELECT 1'",
        role="tables",
        warns=("later_view",),
    ),
    Case(
        "renamed table as the owner of the tables",
        APP,
        "ALTER TABLE t RENAME TO t_old",
        role="tables",
        warns=("t_pkey", "t_id_seq"),
        left="DROP TABLE t_old CASCADE",
        outcome="either",
        thorough=True,
    ),
    Case(
        "extension that only a superuser may make",
        "RESET ROLE; CREATE EXTENSION file_fdw; SET ROLE @role@; CREATE TABLE t (a int);",
        role="tables",
        target="empty",
        there="GRANT CREATE ON SCHEMA public TO @role@; GRANT CREATE ON DATABASE @database@ TO @role@",
        outcome="refused",
        says=("file_fdw", "@role@"),
    ),
    Case(
        "event trigger of a superuser",
        f"{APP} RESET ROLE; CREATE FUNCTION et() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        "CREATE EVENT TRIGGER et ON ddl_command_end EXECUTE FUNCTION et();",
        role="tables",
        outcome="refused",
        says=("et",),
        thorough=True,
    ),
    Case(
        "rows that a role made by a foreign owner's type",
        f"{APP} RESET ROLE; CREATE TYPE mood AS ENUM ('a'); GRANT USAGE ON TYPE mood TO @role@;",
        role="tables",
        outcome="refused",
        says=("mood",),
        thorough=True,
    ),
    *[
        Case(
            name,
            f"CREATE TABLE t (a int); {make}",
            role=role,  # type: ignore[arg-type]
            outcome="refused",
            says=says,
            thorough=thorough,
        )
        for name, make, role, says, thorough in [
            (
                "grant by another role, as the owner",
                'RESET ROLE; CREATE ROLE "@database@_g"; SET ROLE @role@; GRANT SELECT ON t TO "@database@_g" WITH GRANT OPTION;'
                'RESET ROLE; SET ROLE "@database@_g"; GRANT SELECT ON t TO pg_monitor;',
                "owner",
                ("@database@_g", "superuser"),
                False,
            ),
            (
                "leakproof function, as the owner",
                "RESET ROLE; CREATE FUNCTION f() RETURNS bool LANGUAGE sql LEAKPROOF AS 'SELECT true'; ALTER FUNCTION f() OWNER TO @role@;",
                "owner",
                ("public.f", "superuser"),
                True,
            ),
            (
                "function with a support function, as the owner",
                "RESET ROLE; CREATE FUNCTION f(int) RETURNS int LANGUAGE sql SUPPORT generate_series_int4_support AS 'SELECT 1';"
                "ALTER FUNCTION f(int) OWNER TO @role@;",
                "owner",
                ("public.f", "superuser"),
                True,
            ),
            (
                "function with a superuser's setting, as the owner",
                "RESET ROLE; CREATE FUNCTION f() RETURNS bool LANGUAGE sql SET session_replication_role = 'replica' AS 'SELECT true';"
                "ALTER FUNCTION f() OWNER TO @role@;",
                "owner",
                ("session_replication_role", "superuser"),
                True,
            ),
            (
                "comment on a schema of another owner",
                "RESET ROLE; COMMENT ON SCHEMA public IS 'canary';",
                "tables",
                ("public",),
                True,
            ),
        ]
    ],
    Case(
        "functions that look like a superuser's, as the owner",
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql SET search_path = '' SET work_mem = '64kB' AS 'SELECT '' leakproof support "
        "\n    SET session_replication_role TO replica'';';"
        "CREATE FUNCTION g(a text DEFAULT ' LANGUAGE sql LEAKPROOF') RETURNS text LANGUAGE sql RETURN 'LANGUAGE c';"
        "COMMENT ON SCHEMA public IS 'SET SESSION AUTHORIZATION x;';",
        role="owner",
        thorough=True,
    ),
    Case(
        "role of a user mapping that is gone",
        f'{APP} CREATE ROLE "@database@_r\'x"; CREATE EXTENSION postgres_fdw; CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw;'
        "CREATE USER MAPPING FOR \"@database@_r'x\" SERVER s OPTIONS (password 'canary');",
        'DROP USER MAPPING FOR "@database@_r\'x" SERVER s; DROP ROLE "@database@_r\'x"',
        outcome="refused",
        says=("@database@_r'x",),
    ),
    *[
        Case(
            f"tablespace of {name} that is gone",
            f"SET allow_in_place_tablespaces = on; CREATE TABLESPACE \"@database@_t'x\" LOCATION ''; {make}",
            f'{move} TABLESPACE pg_default; DROP TABLESPACE "@database@_t\'x"',
            outcome="refused",
            says=("@database@_t'x",),
            thorough=name != "a table",
        )
        for name, make, move in [
            ("a table", 'CREATE TABLE t (a int) TABLESPACE "@database@_t\'x";', "ALTER TABLE t SET"),
            (
                "a key",
                'CREATE TABLE t (a int PRIMARY KEY USING INDEX TABLESPACE "@database@_t\'x");',
                "ALTER INDEX t_pkey SET",
            ),
            (
                "a partitioned table",
                'CREATE TABLE t (a int) PARTITION BY LIST (a) TABLESPACE "@database@_t\'x";',
                "ALTER TABLE t SET",
            ),
            (
                "a materialized view",
                'CREATE MATERIALIZED VIEW m TABLESPACE "@database@_t\'x" AS SELECT 1 AS a;',
                "ALTER MATERIALIZED VIEW m SET",
            ),
        ]
    ],
    Case(
        "tablespace in which the role may not create",
        "RESET ROLE; SET allow_in_place_tablespaces = on; CREATE TABLESPACE \"@database@_t'x\" LOCATION '';"
        'GRANT CREATE ON TABLESPACE "@database@_t\'x" TO @role@; SET ROLE @role@; CREATE TABLE t (a int) TABLESPACE "@database@_t\'x";',
        'RESET ROLE; REVOKE CREATE ON TABLESPACE "@database@_t\'x" FROM @role@;'
        "ALTER TABLE t SET TABLESPACE pg_default;",
        role="owner",
        outcome="refused",
        says=("@database@_t'x", "CREATE", "@role@"),
        thorough=True,
    ),
    Case(
        "role that is gone",
        f"{APP} CREATE ROLE @database@_r; GRANT SELECT ON t TO @database@_r;",
        "DROP OWNED BY @database@_r; DROP ROLE @database@_r",
        outcome="refused",
        says=("@database@_r",),
    ),
]

# Event triggers -----------------------------------------------------------------------------------------------------

NO_DDL = """
CREATE FUNCTION no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no DDL'; END$$;
CREATE EVENT TRIGGER et ON {on} EXECUTE FUNCTION no_ddl();
ALTER EVENT TRIGGER et {how};
"""
#: It is there and enabled as before; then it goes.
_STILL = """
DO $$ BEGIN ASSERT (SELECT evtenabled FROM pg_event_trigger WHERE evtname = 'et') = '{0}', 'event trigger'; END $$;
DROP EVENT TRIGGER et; DROP FUNCTION public.no_ddl;
"""
EVENTS = [
    Case("event trigger that is ALWAYS enabled", APP + NO_DDL.format(on="ddl_command_start", how="ENABLE ALWAYS")),
    Case(
        "event trigger that is ALWAYS enabled, empty",
        APP + NO_DDL.format(on="ddl_command_start", how="ENABLE ALWAYS"),
        target="empty",
    ),
    *[
        Case(
            f"event trigger on {on} made later, {how}",
            APP,
            NO_DDL.format(on=on, how=how),
            left=_STILL.format(letter),
            thorough=thorough,
        )
        for on, how, letter, thorough in [
            ("ddl_command_start", "ENABLE", "O", False),
            ("ddl_command_start", "ENABLE ALWAYS", "A", False),
            ("ddl_command_start", "ENABLE REPLICA", "R", False),
            ("ddl_command_end", "ENABLE ALWAYS", "A", True),
            ("sql_drop", "ENABLE ALWAYS", "A", True),
            ("sql_drop", "ENABLE REPLICA", "R", True),
            ("ddl_command_start", "DISABLE", "D", True),
        ]
    ],
    *[
        Case(f"event trigger on {on} of the archive, {how}", APP + NO_DDL.format(on=on, how=how), thorough=True)
        for on, how in [
            ("sql_drop", "ENABLE REPLICA"),
            ("ddl_command_end", "ENABLE ALWAYS"),
            ("table_rewrite", "ENABLE ALWAYS"),
            ("ddl_command_start", "DISABLE"),
        ]
    ],
    Case(
        "event trigger of the archive, disabled since",
        APP + NO_DDL.format(on="ddl_command_start", how="ENABLE ALWAYS"),
        "ALTER EVENT TRIGGER et DISABLE",
        thorough=True,
    ),
    Case(
        "event trigger that looks at what is dropped",
        APP,
        "CREATE TABLE dropped (n text); CREATE FUNCTION no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO public.dropped SELECT object_identity FROM pg_event_trigger_dropped_objects(); END$$;"
        "CREATE EVENT TRIGGER et ON sql_drop EXECUTE FUNCTION no_ddl(); ALTER EVENT TRIGGER et ENABLE ALWAYS;",
        left=_STILL.format("A") + "DROP TABLE dropped",
        thorough=True,
    ),
    Case(
        "event trigger on an archived function",
        APP + "CREATE FUNCTION no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';",
        "CREATE EVENT TRIGGER later_e ON ddl_command_end EXECUTE FUNCTION no_ddl()",
        warns=("later_e",),
        thorough=True,
    ),
    Case(
        "event trigger at login",
        APP,
        "CREATE FUNCTION no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN"
        " PERFORM set_config('search_path', 'nowhere', false); END$$; CREATE EVENT TRIGGER et ON login EXECUTE FUNCTION no_ddl();"
        "ALTER EVENT TRIGGER et ENABLE ALWAYS;",
        left=_STILL.format("A"),
        thorough=True,
    ),
    Case(
        "event trigger that forbids, as the owner",
        APP,
        "RESET ROLE;" + NO_DDL.format(on="ddl_command_start", how="ENABLE"),
        role="owner",
        outcome="refused",
        says=("event trigger", "et"),
        warns=("et",),
        foreseen=False,  # what its function does cannot be known
    ),
    Case(
        "event trigger that forbids, ALWAYS, as the owner",
        APP,
        "RESET ROLE;" + NO_DDL.format(on="sql_drop", how="ENABLE ALWAYS"),
        role="owner",
        outcome="refused",
        says=("event trigger", "et"),
        warns=("et",),
        foreseen=False,  # what its function does cannot be known
        thorough=True,
    ),
    Case(
        "event trigger that allows, as the owner",
        APP,
        "RESET ROLE; CREATE FUNCTION no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        "CREATE EVENT TRIGGER et ON ddl_command_start EXECUTE FUNCTION no_ddl();",
        role="owner",
        outcome="either",
        left="RESET ROLE;" + _STILL.format("O"),
        says=("et",),
        thorough=True,
    ),
]

# Databases ------------------------------------------------------------------------------------------------------------

_LATIN1 = "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
_ASCII = "ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0"
WIDE = "CREATE TABLE t (x text); INSERT INTO t VALUES ('canary €');"
NARROW = "CREATE TABLE t (x text); INSERT INTO t VALUES ('canary é');"
DATABASES = [
    Case("no schema public", APP, target="empty", there="DROP SCHEMA public", outcome="either", says=("public",)),
    Case(
        "no schema public, nothing in it",
        SCHEMA,
        target="empty",
        there="DROP SCHEMA public",
        left="CREATE SCHEMA public AUTHORIZATION pg_database_owner; GRANT USAGE ON SCHEMA public TO PUBLIC;"
        "COMMENT ON SCHEMA public IS 'standard public schema'",
        outcome="either",
        says=("public",),
        thorough=True,
    ),
    Case("archive of a database without schema public", f"DROP SCHEMA public; {SCHEMA}", target="empty"),
    Case("archive of a database without schema public, itself", f"DROP SCHEMA public; {SCHEMA}", thorough=True),
    Case(
        "rows that the encoding lacks",
        WIDE,
        target="empty",
        place=_LATIN1,
        outcome="refused",
        says=("LATIN1",),
    ),
    Case(
        "names that the encoding lacks",
        'CREATE TABLE "t €" (a int);',
        target="empty",
        place=_LATIN1,
        outcome="refused",
        says=("LATIN1",),
        thorough=True,
    ),
    Case("rows that the encoding has", NARROW, target="empty", place=_LATIN1),
    Case("into SQL_ASCII", NARROW, target="empty", place=_ASCII, outcome="either", says=("SQL_ASCII",), thorough=True),
    *both(Case("of and into another encoding", NARROW, source=_LATIN1, place=_LATIN1)),
    Case("of another encoding into UTF8", NARROW, source=_LATIN1, target="empty", warns=(), thorough=True),
    *both(
        Case(
            "EUC_JP",
            'CREATE TABLE "表" ("ソ" text); INSERT INTO "表" VALUES (\'能予canary\');',
            source="ENCODING 'EUC_JP' LOCALE 'C' TEMPLATE template0",
            place="ENCODING 'EUC_JP' LOCALE 'C' TEMPLATE template0",
            thorough=True,
        )
    ),
    Case(
        "another locale",
        f"{NARROW} CREATE INDEX ON t (x);",
        target="empty",
        place="LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' TEMPLATE template0",
        thorough=True,
    ),
    Case(
        "objects that are there already",
        APP,
        target="empty",
        there="CREATE TABLE t (a int); CREATE VIEW w AS SELECT * FROM t;"
        "CREATE SEQUENCE v; CREATE TYPE mood AS ENUM ('a'); CREATE PROCEDURE f(int) LANGUAGE sql AS 'SELECT 1';",
        warns=("public.w",),
        left="DROP TYPE mood",
    ),
    Case(
        "extension that is there in another schema",
        "CREATE EXTENSION citext; CREATE TABLE t (a citext);",
        target="empty",
        there="CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext",
        left="DROP SCHEMA ext",
        thorough=True,
    ),
    Case("no language plpgsql", APP, "DROP EXTENSION plpgsql", thorough=True),
    Case(
        "database without plpgsql, itself",
        "DROP EXTENSION plpgsql; CREATE TABLE t (a int); CREATE TABLE backup_jobs (id serial);"
        "INSERT INTO backup_jobs DEFAULT VALUES;",
    ),
    Case(
        "database without plpgsql, empty",
        "DROP EXTENSION plpgsql; CREATE TABLE t (a int);",
        target="empty",
        left="DROP EXTENSION plpgsql",
    ),
    Case("empty database", "", target="empty"),
    Case(
        "empty database over a full one",
        "",
        APP,
        left="DROP TABLE t CASCADE; DROP FUNCTION f; DROP TABLE backup_jobs",
        thorough=True,
    ),
]

CASES = [*ROLES, *EVENTS, *DATABASES]
