"""Questions to the catalog for the dry run. None of them takes a lock that somebody could make it wait for.

What the archive makes again is dropped first, in pg_dump's way (DROP without CASCADE): ``DOOMED`` follows the catalog's
dependencies as the server would, and shows what falls with it and what would stand in its way.
"""

from __future__ import annotations

#: Every table of the application; ``%s`` is the schema of our own.
TABLES = """
SELECT c.oid, n.nspname, c.relname, c.relkind <> 'f' AND has_table_privilege(c.oid, 'SELECT'),
       c.relpages, c.reltuples::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't'
AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', %s)
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 2, 3
"""

#: Rows of (what, text, oid): ``falls`` are relations that go with what is dropped, ``obstacle`` what would make a DROP
#: fail, ``foreign`` what the role does not own. Keys of others are no obstacle: a restore drops them and makes them
#: again, as it does with the preserved tables and the views on them.
DOOMED = """
WITH RECURSIVE named(kind, schema, name) AS (
    SELECT * FROM unnest(%(kinds)s::text[], %(schemas)s::text[], %(names)s::text[])
), seed(classid, objid, owner, schema_owner) AS (
    SELECT 'pg_class'::regclass::oid, c.oid, c.relowner,
           CASE WHEN c.relkind IN ('v', 'm', 'S') THEN n.nspowner ELSE c.relowner END
    FROM named JOIN pg_namespace n ON n.nspname = schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = name
    WHERE kind = 'relation'
    UNION ALL SELECT 'pg_proc'::regclass, p.oid, p.proowner, n.nspowner
    FROM named JOIN pg_namespace n ON n.nspname = schema JOIN pg_proc p ON p.pronamespace = n.oid AND p.proname = name
    WHERE kind = 'routine'
    UNION ALL SELECT 'pg_type'::regclass, t.oid, t.typowner, n.nspowner
    FROM named JOIN pg_namespace n ON n.nspname = schema JOIN pg_type t ON t.typnamespace = n.oid AND t.typname = name
    WHERE kind = 'type'
    UNION ALL SELECT 'pg_namespace'::regclass, n.oid, n.nspowner, n.nspowner
    FROM named JOIN pg_namespace n ON n.nspname = name WHERE kind = 'schema'
    UNION ALL SELECT 'pg_extension'::regclass, e.oid, e.extowner, e.extowner
    FROM named JOIN pg_extension e ON e.extname = name WHERE kind = 'extension'
), preserved(objid) AS (
    SELECT o::oid FROM unnest(%(preserved)s::bigint[]) o
    UNION SELECT w.ev_class FROM preserved p
    JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = p.objid
                     AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite w ON w.oid = d.objid
), doomed(classid, objid) AS (
    SELECT classid, objid FROM seed UNION SELECT 'pg_class'::regclass::oid, objid FROM preserved
    UNION SELECT d.classid, d.objid FROM doomed x
    JOIN pg_depend d ON d.refclassid = x.classid AND d.refobjid = x.objid AND d.deptype IN ('a', 'i', 'e', 'P', 'S')
), obstacle AS (
    SELECT DISTINCT CASE WHEN w.ev_class IS NULL THEN pg_describe_object(d.classid, d.objid, d.objsubid)
                         ELSE pg_describe_object('pg_class'::regclass, w.ev_class, 0) END AS what,
           pg_describe_object(d.refclassid, d.refobjid, 0) AS of
    FROM doomed x JOIN pg_depend d ON d.refclassid = x.classid AND d.refobjid = x.objid AND d.deptype = 'n'
    LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
    LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
    WHERE d.classid IN ('pg_class'::regclass, 'pg_rewrite'::regclass, 'pg_attrdef'::regclass, 'pg_proc'::regclass,
                        'pg_constraint'::regclass, 'pg_policy'::regclass, 'pg_trigger'::regclass, 'pg_type'::regclass)
    AND k.contype IS DISTINCT FROM 'f'
    AND (d.classid, d.objid) NOT IN (SELECT classid, objid FROM doomed)  -- hashed; an anti join would loop
    AND (x.classid <> 'pg_class'::regclass OR x.objid NOT IN (SELECT objid FROM preserved)
         OR x.objid IN (SELECT objid FROM seed))
)
SELECT 'falls', '', c.oid::bigint FROM doomed JOIN pg_class c ON classid = 'pg_class'::regclass AND c.oid = objid
WHERE c.relkind IN ('r', 'p', 'f')
UNION ALL SELECT 'obstacle', what || ' depends on ' || of, 0 FROM obstacle
UNION ALL SELECT 'foreign', pg_describe_object(classid, objid, 0), 0 FROM seed
WHERE NOT pg_has_role(owner, 'USAGE') AND NOT pg_has_role(schema_owner, 'USAGE')
UNION ALL SELECT 'foreign', pg_describe_object('pg_class'::regclass, c.oid, 0), 0
FROM unnest(%(preserved)s::bigint[]) o JOIN pg_class c ON c.oid = o
WHERE NOT pg_has_role(c.relowner, 'USAGE') AND c.oid NOT IN (SELECT objid FROM seed)
ORDER BY 1, 2
"""

#: Which of the roles do not exist, and which of the owners the role may not become. ``%(right)s`` is SET, before
#: version 16 MEMBER.
ROLES = """
SELECT 'missing', wanted FROM unnest(%(roles)s::text[]) wanted
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted)
UNION ALL SELECT 'other', rolname FROM pg_roles
WHERE rolname = ANY (%(owners)s::text[]) AND NOT pg_has_role(oid, %(right)s)
ORDER BY 1, 2
"""

#: Extensions that the server does not have, and those that this role may not create.
EXTENSIONS = """
SELECT CASE WHEN a.name IS NULL THEN 'missing' ELSE 'forbidden' END, wanted
FROM unnest(%(extensions)s::text[]) wanted LEFT JOIN pg_available_extensions a ON a.name = wanted
WHERE a.name IS NULL OR NOT %(superuser)s AND NOT EXISTS (
    SELECT FROM pg_available_extension_versions v
    WHERE v.name = a.name AND v.version = a.default_version AND (v.trusted OR NOT v.superuser))
ORDER BY 1, 2
"""

#: Schemas in which the role may create nothing, and whether it may create schemas.
CREATE = """
SELECT 'schema', nspname FROM pg_namespace
WHERE nspname = ANY (%(schemas)s::text[]) AND NOT has_schema_privilege(oid, 'CREATE')
UNION ALL SELECT 'database', current_database()::text WHERE NOT has_database_privilege(current_database(), 'CREATE')
ORDER BY 1, 2
"""

#: Who holds a lock on one of the tables, which a restore would wait for. A prepared transaction has no pid.
LOCKS = """
SELECT l.pid, coalesce(a.application_name, ''), coalesce(a.usename::text, ''), coalesce(a.state, ''),
       coalesce(a.xact_start, a.backend_start), array_agg(DISTINCT format('%%I.%%I', n.nspname, c.relname))
FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND a.backend_type IS DISTINCT FROM 'autovacuum worker'
AND (c.oid = ANY (%(tables)s::bigint[])
     OR EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f' AND c.oid IN (k.conrelid, k.confrelid)))
GROUP BY 1, 2, 3, 4, 5 ORDER BY 5, 1
"""

#: How many locks the server has room for.
LOCK_TABLE = """
SELECT current_setting('max_locks_per_transaction')::int
       * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int)
"""
