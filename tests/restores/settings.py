"""Settings of a database or a role that change what SQL means, or forbid it."""

from __future__ import annotations

from .case import Case

BASE = r"""
CREATE TYPE mood AS ENUM ('a\b', 'it''s');
CREATE TABLE t (id serial PRIMARY KEY, x text DEFAULT E'\\', f float8, at timestamptz, i interval, b bytea, m money, a int[], e mood);
INSERT INTO t (x, f, at, i, b, m, a, e) VALUES (E'ca\\nary', 0.1::float8 + 0.2, '2026-01-02 03:04:05+00', '-1 year 2 days 03:04', '\x00ff',
    1234.5, '{1,NULL}', 'a\b');
CREATE VIEW v AS SELECT x = NULL AS n, nullif(x, '') AS y FROM t;
CREATE FUNCTION g() RETURNS text LANGUAGE sql AS 'SELECT ''a''''b''';
CREATE TABLE backup_jobs (id serial PRIMARY KEY, s text, f float8, at timestamptz, i interval, b bytea, m money);
INSERT INTO backup_jobs (s, f, at, i, b, m) SELECT x, f, at, i, b, m FROM t;
"""
_OF_DATABASE = [
    ("default_transaction_read_only = on", False),
    ("search_path = nowhere", False),
    ("standard_conforming_strings = off", False),
    ("statement_timeout = 500", True),
    ("idle_in_transaction_session_timeout = 50", True),
    ("transaction_timeout = 500", True),
    ("idle_session_timeout = 50", True),
    ("row_security = off", True),
    ("DateStyle = 'German, DMY'", True),
    ("IntervalStyle = 'sql_standard'", True),
    ("TimeZone = 'Asia/Kolkata'", True),
    ("bytea_output = 'escape'", True),
    ("extra_float_digits = -15", True),
    ("default_transaction_isolation = 'serializable'", True),
    ("default_transaction_deferrable = on", True),
    ("quote_all_identifiers = on", True),
    ("backslash_quote = off", True),
    ("array_nulls = off", True),
    ("transform_null_equals = on", True),
    ("client_encoding = 'LATIN1'", True),
    ("client_min_messages = 'debug5'", True),
    ("check_function_bodies = on", True),
    ("default_table_access_method = 'heap'", True),
    ("restrict_nonsystem_relation_kind = 'foreign-table'", True),
    ("restrict_nonsystem_relation_kind = 'view, foreign-table'", True),
    ("session_replication_role = 'replica'", True),
    ("lock_timeout = 1", True),
    ("exit_on_error = on", True),
    ("temp_file_limit = 0", True),
    ("jit = on", True),
    ("event_triggers = off", True),
    ("enable_seqscan = off", True),
    ("debug_parallel_query = 'on'", True),
    ("plan_cache_mode = 'force_generic_plan'", True),
    ("max_stack_depth = '100kB'", True),
    ("role = 'pg_monitor'", True),
    ("xmloption = 'document'", True),
    ("lc_numeric = 'C'", True),
    ("password_encryption = 'md5'", True),
    ("log_statement = 'all'", True),
    ("work_mem = '64kB'", True),
    ("escape_string_warning = on", True),
    ("gin_pending_list_limit = '64kB'", True),
    ("createrole_self_grant = 'set'", True),
]


def _value(setting: str) -> str:
    name, _, _ = setting.partition(" = ")
    return f"ALTER DATABASE @database@ SET {setting}; " if name != "role" else f"ALTER ROLE @role@ SET {setting}; "


CASES = [
    *[
        Case(f"before the backup, {setting}", f"{BASE} {_value(setting)}", thorough=thorough)
        for setting, thorough in _OF_DATABASE
        if not setting.startswith("role ")
    ],
    Case("read-only since", BASE, "ALTER DATABASE @database@ SET default_transaction_read_only = on"),
    Case(
        "read-only since, a role",
        "CREATE TABLE t (a int);",
        "RESET ROLE; ALTER ROLE @role@ SET default_transaction_read_only = on",
        role="owner",
    ),
    Case(
        "read-only target",
        BASE,
        target="empty",
        there="ALTER DATABASE @database@ SET default_transaction_read_only = on",
        thorough=True,
    ),
    Case(
        "time-outs since",
        BASE,
        "ALTER DATABASE @database@ SET statement_timeout = 500;"
        "ALTER DATABASE @database@ SET idle_in_transaction_session_timeout = 50; ALTER DATABASE @database@ SET transaction_timeout = 500",
    ),
    Case(
        "strings since",
        BASE,
        "ALTER DATABASE @database@ SET standard_conforming_strings = off; ALTER DATABASE @database@ SET array_nulls = off",
    ),
    Case(
        "another role by setting",
        "CREATE TABLE t (a int);",
        "RESET ROLE; GRANT pg_monitor TO @role@; ALTER ROLE @role@ SET role = 'pg_monitor'",
        role="owner",
        outcome="either",
        says=("pg_monitor",),
        thorough=True,
    ),
    Case(
        "float digits of preserved rows",
        "CREATE DOMAIN f8 AS float8; CREATE TYPE c AS (x float8); CREATE TYPE r AS RANGE (subtype = float8);"
        "CREATE TABLE backup_jobs (id serial PRIMARY KEY, f f8, g float8, h c, i r, j float4[]);"
        "INSERT INTO backup_jobs (f, g, h, i, j) VALUES (0.1::float8 + 0.2, 0.1::float8 + 0.2, ROW(0.1::float8 + 0.2), '[0.30000000000000004,2)',"
        "'{0.1234567}'); ALTER DATABASE @database@ SET extra_float_digits = 0;",
    ),
    Case(
        "styles of preserved rows",
        BASE,
        "ALTER DATABASE @database@ SET DateStyle = 'SQL, DMY'; ALTER DATABASE @database@ SET IntervalStyle = 'sql_standard';"
        "ALTER DATABASE @database@ SET bytea_output = 'escape'; ALTER DATABASE @database@ SET extra_float_digits = -10;"
        "ALTER DATABASE @database@ SET TimeZone = 'America/St_Johns'",
    ),
]
