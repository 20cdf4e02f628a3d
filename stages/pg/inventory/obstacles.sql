:named,
gone(classid, objid, kept) AS (  -- kept is the preserved table that it goes with, or the view on one
    SELECT classid, objid, NULL::oid FROM seed
    UNION SELECT 'pg_class'::regclass::oid, objid, objid FROM preserved
    UNION SELECT d.classid, d.objid, x.kept FROM gone x
    JOIN pg_depend d ON d.refclassid = x.classid AND d.refobjid = x.objid AND d.deptype IN ('a', 'i', 'e', 'P', 'S')
    AND d.objsubid = 0
), holding AS (  -- preserved tables that something holds: they stay where they are, unless the archive drops them
    SELECT DISTINCT x.kept FROM gone x
    JOIN pg_depend d ON d.refclassid = x.classid AND d.refobjid = x.objid AND d.deptype = 'n'
    LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
    WHERE x.kept IS NOT NULL AND k.contype IS DISTINCT FROM 'f'
    AND (d.classid, d.objid) NOT IN (SELECT classid, objid FROM gone)
), doomed(classid, objid) AS (
    SELECT classid, objid FROM gone WHERE kept IS NULL OR kept NOT IN (SELECT kept FROM holding)
), closure(classid, objid) AS (
    SELECT classid, objid FROM doomed
    UNION
    SELECT CASE WHEN y.oid IS NOT NULL THEN 'pg_type'::regclass::oid WHEN v.oid IS NULL THEN d.classid
                ELSE 'pg_class'::regclass::oid END, coalesce(y.reltype, v.oid, d.objid)
    FROM closure x CROSS JOIN LATERAL (
        SELECT classid, objid, objsubid, deptype FROM pg_depend WHERE refclassid = x.classid AND refobjid = x.objid
        UNION ALL SELECT refclassid, refobjid, 0, 'n' FROM pg_depend  -- an extension goes when one of its members must
        WHERE classid = x.classid AND objid = x.objid AND deptype = 'e'
        AND (x.classid <> 'pg_class'::regclass OR x.objid NOT IN (SELECT objid FROM preserved))
    ) d
    LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
    LEFT JOIN pg_class v ON v.oid = w.ev_class AND v.relkind IN ('v', 'm')
    -- A column of a composite type is a matter of that type, and of the tables with columns of it.
    LEFT JOIN pg_class y ON d.classid = 'pg_class'::regclass AND d.objsubid > 0 AND y.oid = d.objid AND y.relkind = 'c'
    LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
    WHERE d.deptype IN ('n', 'a', 'i', 'e', 'P', 'S') AND k.contype IS DISTINCT FROM 'f'
    AND (d.objsubid = 0 OR d.classid <> 'pg_class'::regclass OR y.oid IS NOT NULL)
), beyond AS (
    SELECT DISTINCT c.classid, c.objid FROM closure c
    JOIN pg_depend d ON d.classid = c.classid AND d.objid = c.objid
    JOIN closure r ON r.classid = d.refclassid AND r.objid = d.refobjid
    LEFT JOIN pg_rewrite w ON c.classid = 'pg_rewrite'::regclass AND w.oid = c.objid
    LEFT JOIN pg_class v ON v.oid = w.ev_class
    WHERE d.deptype = 'n' AND v.relkind IS DISTINCT FROM 'v' AND v.relkind IS DISTINCT FROM 'm'
    AND (c.classid, c.objid) NOT IN (SELECT classid, objid FROM doomed)
    UNION
    SELECT 'pg_class'::regclass::oid, c.objid FROM closure c
    JOIN pg_class v ON v.oid = c.objid AND v.relkind IN ('v', 'm') WHERE c.classid = 'pg_class'::regclass
    AND (c.classid, c.objid) NOT IN (SELECT classid, objid FROM doomed)
    UNION
    SELECT classid, objid FROM closure WHERE classid = 'pg_extension'::regclass
    AND (classid, objid) NOT IN (SELECT classid, objid FROM doomed)
), leaving(classid, objid) AS (
    SELECT classid, objid FROM doomed
), checked(domain) AS (
    SELECT k.contypid FROM beyond b JOIN pg_constraint k ON b.classid = 'pg_constraint'::regclass AND k.oid = b.objid
    WHERE k.contypid <> 0
), :inside, known AS (
    SELECT b.*, i.type, i.identity, a.object_names AS name, a.object_args AS args,
           CASE i.type WHEN 'domain constraint' THEN 'constraint ' || i.identity
                ELSE pg_describe_object(b.classid, b.objid, 0) END AS text,
           (SELECT convalidated AND contypid IN (SELECT domain FROM stuck) FROM pg_constraint k
            WHERE b.classid = 'pg_constraint'::regclass AND k.oid = b.objid) AS unchecked,
           coalesce(c.relowner, p.proowner, t.typowner) AS owner, n.nspowner AS schema_owner, f.attgenerated,
           u.conname AS key, u.conrelid::regclass AS key_of, k.oid AS made, k.conislocal AS local,
           CASE WHEN u.contype = 'x' THEN pg_get_constraintdef(u.oid) ELSE regexp_replace(pg_get_constraintdef(u.oid),
                '( DEFERRABLE)?( INITIALLY DEFERRED)?$', coalesce(' WITH (' || (
                    SELECT string_agg(format('%%I = %%L', option_name, option_value), ', ')
                    FROM pg_options_to_table(c.reloptions)) || ')', '') || E'\\&') END AS key_definition,
           CASE WHEN e.oid IS NOT NULL THEN pg_get_expr(e.adbin, e.adrelid)
                WHEN b.classid = 'pg_constraint'::regclass THEN pg_get_constraintdef(b.objid) END AS definition,
           coalesce((SELECT ' depends on ' || pg_describe_object(d.refclassid, d.refobjid, 0)
            FROM pg_depend d JOIN closure r ON r.classid = d.refclassid AND r.objid = d.refobjid
            WHERE d.classid = coalesce(q.classid, b.classid) AND d.objid = coalesce(q.objid, b.objid)
            AND d.deptype = 'n' ORDER BY 1 LIMIT 1),
           (SELECT ' has ' || pg_describe_object(d.classid, d.objid, 0)
            FROM pg_depend d JOIN doomed r ON r.classid = d.classid AND r.objid = d.objid
            WHERE d.refclassid = b.classid AND d.refobjid = b.objid AND d.deptype = 'e' ORDER BY 1 LIMIT 1),
           '') AS on_what
    FROM beyond b CROSS JOIN LATERAL pg_identify_object(b.classid, b.objid, 0) i
    CROSS JOIN LATERAL pg_identify_object_as_address(b.classid, b.objid, 0) a
    LEFT JOIN pg_class c ON b.classid = 'pg_class'::regclass AND c.oid = b.objid
    LEFT JOIN pg_proc p ON b.classid = 'pg_proc'::regclass AND p.oid = b.objid
    LEFT JOIN pg_type t ON b.classid = 'pg_type'::regclass AND t.oid = b.objid
    LEFT JOIN pg_namespace n ON n.oid = coalesce(c.relnamespace, p.pronamespace, t.typnamespace)
    LEFT JOIN pg_constraint u ON b.classid = 'pg_class'::regclass AND u.conindid = b.objid
                              AND u.contype IN ('p', 'u', 'x')
    LEFT JOIN pg_constraint k ON k.oid = CASE b.classid WHEN 'pg_constraint'::regclass THEN b.objid ELSE u.oid END
    LEFT JOIN pg_attrdef e ON b.classid = 'pg_attrdef'::regclass AND e.oid = b.objid
    LEFT JOIN pg_attribute f ON f.attrelid = e.adrelid AND f.attnum = e.adnum
    LEFT JOIN LATERAL (SELECT 'pg_rewrite'::regclass::oid AS classid, w.oid AS objid FROM pg_rewrite w
                       WHERE c.relkind IN ('v', 'm') AND w.ev_class = c.oid AND w.rulename = '_RETURN') q ON true
), judged AS (
    SELECT text || on_what AS text, made, unchecked, CASE
        -- Heirs have defaults of their own.
        WHEN type = 'default value' AND attgenerated = ''
        THEN format('ALTER TABLE ONLY %%I.%%I ALTER COLUMN %%I SET DEFAULT %%s', name[1], name[2], name[3], definition)
        WHEN NOT local THEN 'SELECT'  -- it comes with its parent's
        WHEN type = 'table constraint'
        THEN format('ALTER TABLE %%I.%%I ADD CONSTRAINT %%I %%s', name[1], name[2], name[3], definition)
        WHEN key IS NOT NULL THEN format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', key_of, key, key_definition)
        WHEN type = 'domain constraint'
        THEN format('ALTER DOMAIN %%s ADD CONSTRAINT %%I %%s', name[1], args[1], definition)
        ELSE '' END AS again, CASE
        WHEN owner IS NOT NULL AND NOT pg_has_role(owner, 'USAGE') AND NOT pg_has_role(schema_owner, 'USAGE') THEN NULL
        -- No session may alter another's temporary table.
        WHEN (type IN ('default value', 'table constraint') OR key IS NOT NULL) AND name[1] ~ '^pg_temp_' THEN NULL
        WHEN type = 'default value' AND attgenerated = ''
        THEN format('ALTER TABLE ONLY %%I.%%I ALTER COLUMN %%I DROP DEFAULT', name[1], name[2], name[3])
        WHEN type = 'table constraint'
        THEN format('ALTER TABLE %%I.%%I DROP CONSTRAINT %%I CASCADE', name[1], name[2], name[3])
        WHEN key IS NOT NULL THEN format('ALTER TABLE %%s DROP CONSTRAINT %%I CASCADE', key_of, key)
        WHEN type = 'domain constraint'
        THEN format('ALTER DOMAIN %%s DROP CONSTRAINT %%I CASCADE', name[1], args[1])
        WHEN type = 'user mapping' THEN format('DROP USER MAPPING FOR %%s SERVER %%I',
            CASE name[1] WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(name[1]) END, args[1])
        WHEN type IN ('view', 'materialized view', 'function', 'procedure', 'aggregate', 'type', 'operator',
                      'operator class', 'operator family', 'cast', 'conversion', 'collation', 'rule', 'trigger',
                      'policy', 'text search configuration', 'text search dictionary', 'text search parser',
                      'text search template', 'index', 'event trigger', 'transform', 'extension', 'server',
                      'foreign-data wrapper', 'foreign table')
        THEN format('DROP %%s %%s CASCADE', replace(upper(type), '-', ' '), identity)
        WHEN type = 'composite type' THEN format('DROP TYPE %%s CASCADE', identity)
        WHEN type = 'statistics object' THEN format('DROP STATISTICS %%s CASCADE', identity)
        END AS statement
    FROM known WHERE type IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_depend e WHERE e.classid = known.classid AND e.objid = known.objid AND e.deptype = 'e'
    ) AND (type IN ('index', 'composite type', 'default value') OR NOT EXISTS (  -- a part of another
        SELECT FROM pg_depend e WHERE e.classid = known.classid AND e.objid = known.objid AND e.deptype = 'i'
        AND (e.refclassid, e.refobjid) <> (e.classid, e.objid)  -- as a table is of the columns of its partition key
    )) AND NOT (type = 'type' AND EXISTS (
        SELECT FROM pg_type t LEFT JOIN pg_class y ON y.oid = t.typrelid
        WHERE t.oid = objid AND (y.relkind <> 'c' OR EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid))))
), again AS (  -- what a constraint that is made again does not bring with it
    SELECT DISTINCT k.oid, k.conname, k.contype, k.conindid,
           coalesce('DOMAIN ' || nullif(k.contypid, 0)::regtype, k.conrelid::regclass::text) AS owner
    FROM judged JOIN pg_constraint k ON k.oid = made WHERE again <> '' AND statement <> ''
), key AS (
    SELECT again.owner, x.oid, x.relname, x.reltablespace, x.relispartition, x.reloptions, i.indisclustered,
           i.indisreplident, x.oid::regclass AS name
    FROM again JOIN pg_class x ON x.oid = again.conindid JOIN pg_index i ON i.indexrelid = x.oid
    WHERE contype IN ('p', 'u', 'x')
), detail(text, again) AS (
    SELECT format('comment of constraint %%I on %%s', conname, owner),
           format('COMMENT ON CONSTRAINT %%I ON %%s IS %%L', conname, owner, description)
    FROM again JOIN pg_description d ON d.classoid = 'pg_constraint'::regclass AND d.objoid = again.oid
    UNION ALL
    SELECT format('comment of index %%s', name), format('COMMENT ON INDEX %%s IS %%L', name, description)
    FROM key JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = key.oid AND d.objsubid = 0
    UNION ALL
    SELECT format('order of %%s by index %%s', owner, name), format('ALTER TABLE %%s CLUSTER ON %%I', owner, relname)
    FROM key WHERE indisclustered
    UNION ALL
    SELECT format('replica identity of %%s by index %%s', owner, name),
           format('ALTER TABLE %%s REPLICA IDENTITY USING INDEX %%I', owner, relname)
    FROM key WHERE indisreplident
    UNION ALL
    SELECT format('tablespace of index %%s', name), format('ALTER INDEX %%s SET TABLESPACE %%I', name, spcname)
    FROM key JOIN pg_tablespace s ON s.oid = reltablespace
    UNION ALL
    SELECT format('setting %%s of index %%s', option_name, name),
           format('ALTER INDEX %%s SET (%%I = %%L)', name, option_name, option_value)
    FROM key, pg_options_to_table(reloptions) WHERE relispartition
    UNION ALL
    SELECT format('statistics of index %%s', name),
           format('ALTER INDEX %%s ALTER COLUMN %%s SET STATISTICS %%s', name, attnum, attstattarget)
    FROM key JOIN pg_attribute a ON a.attrelid = key.oid AND attstattarget >= 0
    UNION ALL
    SELECT format('index %%s depends on the extension %%I', name, extname),
           format('ALTER INDEX %%s DEPENDS ON EXTENSION %%I', name, extname)
    FROM key JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = key.oid AND d.deptype = 'x'
    JOIN pg_extension e ON e.oid = d.refobjid
), held AS (
    SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid) || ' depends on '
        || pg_describe_object(d.refclassid, d.refobjid, 0) AS text
    FROM closure x JOIN pg_depend d ON d.refclassid = x.classid AND d.refobjid = x.objid AND d.deptype = 'n'
    WHERE d.classid = 'pg_class'::regclass AND d.objsubid > 0
    AND (d.classid, d.objid) NOT IN (SELECT classid, objid FROM closure)
)
SELECT CASE WHEN unchecked THEN 'loosen' ELSE 'drop' END, text, statement, again FROM judged WHERE statement IS NOT NULL
UNION ALL SELECT 'drop', text, '', again FROM detail
UNION ALL SELECT 'keep', text, '', '' FROM judged WHERE statement IS NULL
UNION ALL SELECT 'keep', text, '', '' FROM held
ORDER BY 1, 2
