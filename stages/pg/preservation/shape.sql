CREATE TEMP VIEW kleidia_shape AS
WITH relation AS NOT MATERIALIZED (
    SELECT c.*, c.oid AS id, format('%I.%I', n.nspname, c.relname) AS rel,
           CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END AS word
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm')
), col AS NOT MATERIALIZED (
    SELECT a.*, r.id, r.rel, r.relkind, r.relpersistence, r.word, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, t.typstorage,
           CASE WHEN a.attcollation <> t.typcollation
                THEN (SELECT format(' COLLATE %I.%I', n.nspname, l.collname) FROM pg_catalog.pg_collation l
                      JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace WHERE l.oid = a.attcollation)
                ELSE '' END AS collated,
           pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS expression
    FROM relation r JOIN pg_catalog.pg_attribute a ON a.attrelid = r.id AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = r.id AND d.adnum = a.attnum
), definition AS NOT MATERIALIZED (
    SELECT col.*, format('%I %s%s%s', attname, type, collated, CASE attgenerated WHEN '' THEN ''
           ELSE format(' GENERATED ALWAYS AS (%s) %s', expression,
                       CASE attgenerated WHEN 's' THEN 'STORED' ELSE 'VIRTUAL' END) END) AS definition
    FROM col
), seq AS NOT MATERIALIZED (
    SELECT c.id, c.rel, c.attname, c.attidentity, s.oid AS seq_id, s.relowner, s.relacl, s.relpersistence,
           c.relpersistence AS persistence_of_table,
           format('%I.%I', n.nspname, s.relname) AS seq, q.seqtypid,
           format('INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s CACHE %s%s', q.seqincrement, q.seqmin,
                  q.seqmax, q.seqstart, q.seqcache, CASE WHEN q.seqcycle THEN ' CYCLE' ELSE ' NO CYCLE' END) AS options
    FROM col c JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.id
         AND d.refobjsubid = c.attnum AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i')
    JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid
), tree(root, id, depth) AS NOT MATERIALIZED (
    SELECT p.oid, t.relid::oid, t.level FROM pg_catalog.pg_class p, pg_catalog.pg_partition_tree(p.oid) t
    WHERE p.relkind = 'p' AND t.level > 0
), grants AS NOT MATERIALIZED (
    SELECT r.id, r.rel AS target, a.* FROM relation r,
           pg_catalog.aclexplode(coalesce(r.relacl, pg_catalog.acldefault('r', r.relowner))) a
    UNION ALL
    SELECT s.id, 'SEQUENCE ' || s.seq, a.* FROM seq s,
           pg_catalog.aclexplode(coalesce(s.relacl, pg_catalog.acldefault('s', s.relowner))) a
), index AS NOT MATERIALIZED (
    SELECT r.id, r.rel, x.oid AS index, x.relname, format('%I.%I', n.nspname, x.relname) AS name, x.relispartition,
           x.relkind, x.reltablespace, x.reloptions, i.indisvalid, i.indisclustered,
           h.inhparent::regclass AS part_of, NOT coalesce(p.indisvalid, false) AS own  -- not made with its parent
    FROM relation r JOIN pg_catalog.pg_index i ON i.indrelid = r.id JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = x.relnamespace
    LEFT JOIN pg_catalog.pg_inherits h ON h.inhrelid = x.oid LEFT JOIN pg_catalog.pg_index p ON p.indexrelid = h.inhparent
), statistic AS NOT MATERIALIZED (
    SELECT r.id, s.*, format('%I.%I', n.nspname, stxname) AS name
    FROM relation r JOIN pg_catalog.pg_statistic_ext s ON s.stxrelid = r.id
    JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
), thing(id, class, object, sub, name) AS NOT MATERIALIZED (  -- what may have a comment, a label or an extension
    SELECT id, 'pg_catalog.pg_class'::regclass, id, 0, word || ' ' || rel FROM relation
    UNION ALL SELECT id, 'pg_catalog.pg_class'::regclass, id, attnum, format('COLUMN %s.%I', rel, attname) FROM col
    UNION ALL SELECT id, 'pg_catalog.pg_class'::regclass, index, 0, 'INDEX ' || name FROM index
    UNION ALL SELECT id, 'pg_catalog.pg_class'::regclass, seq_id, 0, 'SEQUENCE ' || seq FROM seq
    UNION ALL SELECT r.id, 'pg_catalog.pg_constraint'::regclass, k.oid, 0, format('CONSTRAINT %I ON %s', conname, rel)
    FROM relation r JOIN pg_catalog.pg_constraint k ON k.conrelid = r.id AND contype IN ('p', 'u', 'x', 'c', 'n')
    UNION ALL SELECT r.id, 'pg_catalog.pg_trigger'::regclass, t.oid, 0, format('TRIGGER %I ON %s', tgname, rel)
    FROM relation r JOIN pg_catalog.pg_trigger t ON t.tgrelid = r.id AND NOT tgisinternal
    UNION ALL SELECT r.id, 'pg_catalog.pg_rewrite'::regclass, w.oid, 0, format('RULE %I ON %s', rulename, rel)
    FROM relation r JOIN pg_catalog.pg_rewrite w ON w.ev_class = r.id AND rulename <> '_RETURN'
    UNION ALL SELECT r.id, 'pg_catalog.pg_policy'::regclass, p.oid, 0, format('POLICY %I ON %s', polname, rel)
    FROM relation r JOIN pg_catalog.pg_policy p ON p.polrelid = r.id
    UNION ALL SELECT id, 'pg_catalog.pg_statistic_ext'::regclass, oid, 0, 'STATISTICS ' || name FROM statistic
), setting(id, rank, kind, name, make, unmake) AS NOT MATERIALIZED (
    SELECT id, 46, 'persistence', '', format('ALTER TABLE %s SET UNLOGGED', rel),
           format('ALTER TABLE %s SET LOGGED', rel)
    FROM relation WHERE relkind = 'r' AND relpersistence = 'u'
    UNION ALL
    SELECT id, 47, 'persistence', seq, format('ALTER SEQUENCE %s SET %s', seq, CASE relpersistence WHEN 'u' THEN
           'UNLOGGED' ELSE 'LOGGED' END), format('ALTER SEQUENCE %s SET %s', seq, CASE relpersistence WHEN 'u' THEN
           'LOGGED' ELSE 'UNLOGGED' END)
    -- From version 15 on it is a sequence's own, and changes with its table's.
    FROM seq WHERE relpersistence <> persistence_of_table AND current_setting('server_version_num')::int >= 150000
    UNION ALL
    SELECT r.id, 37, 'access method', '', format('ALTER %s %s SET ACCESS METHOD %I', word, rel, amname), ''
    FROM relation r JOIN pg_catalog.pg_am m ON m.oid = r.relam WHERE amname <> 'heap'
    UNION ALL
    SELECT r.id, 38, 'tablespace', '', format('ALTER %s %s SET TABLESPACE %I', word, rel, spcname), ''
    FROM relation r JOIN pg_catalog.pg_tablespace s ON s.oid = r.reltablespace
    UNION ALL
    SELECT i.id, 66, 'tablespace', i.name, format('ALTER INDEX %s SET TABLESPACE %I', i.name, spcname), ''
    FROM index i JOIN pg_catalog.pg_tablespace s ON s.oid = i.reltablespace
    UNION ALL
    SELECT id, 43, 'row type', '', format('ALTER TABLE %s OF %s', rel, pg_catalog.format_type(reloftype, NULL)),
           format('ALTER TABLE %s NOT OF', rel)
    FROM relation WHERE reloftype <> 0
    UNION ALL
    SELECT id, 55, 'column setting', attname, format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', rel, attname,
           attstattarget), format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS -1', rel, attname)
    FROM col WHERE attstattarget >= 0 AND relkind IN ('r', 'p', 'm')
    UNION ALL
    SELECT id, 55, 'column setting', attname, format('ALTER TABLE %s ALTER COLUMN %I SET STORAGE %s', rel, attname,
           wanted),           format('ALTER TABLE %s ALTER COLUMN %I SET STORAGE %s', rel, attname, usual)
    FROM col, LATERAL (SELECT '{"p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"}'::jsonb AS word) w,
         LATERAL (SELECT w.word ->> attstorage::text AS wanted, w.word ->> typstorage::text AS usual) s
    WHERE attstorage <> typstorage AND relkind IN ('r', 'p', 'm')
    UNION ALL
    SELECT id, 55, 'column setting', attname, format('ALTER TABLE %s ALTER COLUMN %I SET COMPRESSION %s', rel, attname,
           CASE method WHEN 'l' THEN 'lz4' ELSE 'pglz' END),
           format('ALTER TABLE %s ALTER COLUMN %I SET COMPRESSION DEFAULT', rel, attname)
    FROM relation JOIN pg_catalog.pg_attribute a ON a.attrelid = id AND a.attnum > 0 AND NOT a.attisdropped,
         LATERAL (SELECT pg_catalog.to_jsonb(a) ->> 'attcompression' AS method) m  -- since version 14
    WHERE method <> '' AND relkind IN ('r', 'p', 'm')
    UNION ALL
    SELECT id, 55, 'column setting', attname, format('ALTER TABLE %s ALTER COLUMN %I SET (%I = %L)', rel, attname,
           option_name, option_value), format('ALTER TABLE %s ALTER COLUMN %I RESET (%I)', rel, attname, option_name)
    FROM col, pg_catalog.pg_options_to_table(attoptions) WHERE relkind IN ('r', 'p', 'm')
    UNION ALL
    SELECT i.id, 66, 'index setting', i.name, format('ALTER INDEX %s ALTER COLUMN %s SET STATISTICS %s', i.name, attnum,
           attstattarget), format('ALTER INDEX %s ALTER COLUMN %s SET STATISTICS -1', i.name, attnum)
    FROM index i JOIN pg_catalog.pg_attribute a ON a.attrelid = i.index AND attstattarget >= 0
    UNION ALL
    SELECT id, 66, 'index setting', name, format('ALTER INDEX %s SET (%I = %L)', name, option_name, option_value),
           format('ALTER INDEX %s RESET (%I)', name, option_name)
    FROM index, pg_catalog.pg_options_to_table(reloptions) WHERE relkind = 'i' AND NOT own
    UNION ALL
    SELECT id, 67.1, 'owner', name, format('ALTER STATISTICS %s OWNER TO %I', name,
           pg_catalog.pg_get_userbyid(stxowner)), ''
    FROM statistic
    UNION ALL
    SELECT id, 67.2, 'statistics setting', name, format('ALTER STATISTICS %s SET STATISTICS %s', name, stxstattarget),
           format('ALTER STATISTICS %s SET STATISTICS -1', name)
    FROM statistic WHERE stxstattarget >= 0
    UNION ALL
    SELECT id, 66, 'cluster', '', format('ALTER TABLE %s CLUSTER ON %I', rel, relname),
           format('ALTER TABLE %s SET WITHOUT CLUSTER', rel)
    FROM index WHERE indisclustered
    UNION ALL
    SELECT r.id, 95, 'option', option_name, format('ALTER TABLE %s SET (toast.%I = %L)', rel, option_name,
           option_value), format('ALTER TABLE %s RESET (toast.%I)', rel, option_name)
    FROM relation r JOIN pg_catalog.pg_class t ON t.oid = r.reltoastrelid, pg_catalog.pg_options_to_table(t.reloptions)
    UNION ALL
    SELECT t.id, 90, 'comment', t.name, format('COMMENT ON %s IS %L', t.name, description),
           format('COMMENT ON %s IS NULL', t.name)
    FROM thing t JOIN pg_catalog.pg_description d ON classoid = class AND objoid = object AND objsubid = sub
    UNION ALL
    SELECT t.id, 92, 'label', t.name, format('SECURITY LABEL FOR %I ON %s IS %L', provider, t.name, label),
           format('SECURITY LABEL FOR %I ON %s IS NULL', provider, t.name)
    FROM thing t JOIN pg_catalog.pg_seclabel l ON classoid = class AND objoid = object AND objsubid = sub
    UNION ALL
    SELECT t.id, 93, 'extension', t.name, format('ALTER %s DEPENDS ON EXTENSION %I', t.name, extname),
           format('ALTER %s NO DEPENDS ON EXTENSION %I', t.name, extname)
    FROM thing t JOIN pg_catalog.pg_depend d ON classid = class AND objid = object AND objsubid = sub AND deptype = 'x'
    JOIN pg_catalog.pg_extension e ON e.oid = refobjid
), part(id, rank, kind, name, make, unmake) AS NOT MATERIALIZED (
    SELECT id, 10, 'table', '', CASE WHEN relkind IN ('v', 'm')
        THEN format('CREATE %s %s%s AS %s', word, rel,
             ' WITH (' || (SELECT string_agg(format('%I = %L', option_name, option_value), ', ')
                           FROM pg_catalog.pg_options_to_table(reloptions)) || ')',
             rtrim(pg_catalog.pg_get_viewdef(id), '; ') || CASE WHEN relispopulated THEN '' ELSE ' WITH NO DATA' END)
        ELSE format('CREATE TABLE %s (%s)%s', rel,
             (SELECT string_agg(definition, ', ' ORDER BY attnum) FROM definition d WHERE d.id = relation.id),
             ' PARTITION BY ' || pg_catalog.pg_get_partkeydef(id)) END,
        format('DROP %s %s', word, rel)
    FROM relation
    UNION ALL
    SELECT t.root, 14 + t.depth, 'partition', c.rel,
           format('CREATE TABLE %s PARTITION OF %s %s%s', c.rel, p.rel, pg_catalog.pg_get_expr(c.relpartbound, c.id),
                  ' PARTITION BY ' || pg_catalog.pg_get_partkeydef(c.id)), format('DROP TABLE %s', c.rel)
    FROM tree t JOIN relation c ON c.id = t.id JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.id
    JOIN relation p ON p.id = i.inhparent
    UNION ALL
    SELECT id, CASE attgenerated WHEN '' THEN 20 ELSE 21 END + attnum / 10000.0, 'column', attname,
           format('ALTER TABLE %s ADD COLUMN %s', rel, definition),
           format('ALTER TABLE %s DROP COLUMN %I', rel, attname)
    FROM definition WHERE relkind IN ('r', 'p')
    UNION ALL
    SELECT id, 30, 'type', attname, format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT, ALTER COLUMN %I TYPE %s%s'
           ' USING NULL', rel, attname, attname, type, collated), ''
    FROM col WHERE relkind IN ('r', 'p') AND attgenerated = ''
    UNION ALL
    SELECT id, 31, 'expression', attname, format('ALTER TABLE %s ALTER COLUMN %I SET EXPRESSION AS (%s)', rel, attname,
           expression), format('ALTER TABLE %s ALTER COLUMN %I DROP EXPRESSION', rel, attname)
    FROM col WHERE attgenerated <> ''
    UNION ALL
    SELECT id, 35, 'owner', '', format('ALTER %s %s OWNER TO %I', word, rel, pg_catalog.pg_get_userbyid(relowner)), ''
    FROM relation
    UNION ALL
    SELECT id, 40, 'sequence', seq, format('CREATE SEQUENCE IF NOT EXISTS %s; ALTER SEQUENCE %s OWNER TO %I;'
           ' ALTER SEQUENCE %s AS %s %s OWNED BY %s.%I', seq, seq, pg_catalog.pg_get_userbyid(relowner), seq,
           pg_catalog.format_type(seqtypid, NULL), options, rel, attname), ''
    FROM seq WHERE attidentity = ''
    UNION ALL
    SELECT id, 42, 'not null', attname, coalesce(  -- a constraint with a name since version 18
           (SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', rel, conname, pg_catalog.pg_get_constraintdef(k.oid))
            FROM pg_catalog.pg_constraint k
            WHERE k.conrelid = id AND contype = 'n' AND conkey = ARRAY[attnum] AND conislocal AND coninhcount = 0),
           format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', rel, attname)),
           format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', rel, attname)
    FROM col WHERE attnotnull AND relkind IN ('r', 'p')
    UNION ALL
    SELECT id, 45, 'identity', attname, format('ALTER TABLE %s ALTER COLUMN %I ADD GENERATED %s AS IDENTITY'
           ' (SEQUENCE NAME %s %s)', rel, attname, CASE attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, seq,
           options), format('ALTER TABLE %s ALTER COLUMN %I DROP IDENTITY', rel, attname)
    FROM seq WHERE attidentity <> ''
    UNION ALL
    SELECT id, 50, 'default', attname,
           format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s', rel, attname, expression),
           format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT', rel, attname)
    FROM col WHERE expression IS NOT NULL AND attgenerated = ''
    UNION ALL
    SELECT r.id, 60, 'constraint', conname, format('ALTER TABLE %s%s ADD CONSTRAINT %I %s',
           CASE WHEN i.indisvalid OR i.indisvalid IS NULL THEN '' ELSE 'ONLY ' END, r.rel, conname,
           -- The server leaves out the storage parameters of a key.
           CASE WHEN contype IN ('p', 'u') THEN regexp_replace(definition, '( DEFERRABLE)?( INITIALLY DEFERRED)?$',
                coalesce(' WITH (' || (SELECT string_agg(format('%I = %L', option_name, option_value), ', ')
                                       FROM pg_catalog.pg_options_to_table(i.reloptions)) || ')', '') || E'\\&')
           ELSE definition END), format('ALTER TABLE %s DROP CONSTRAINT %I', r.rel, conname)
    FROM relation r JOIN pg_catalog.pg_constraint k ON k.conrelid = r.id LEFT JOIN index i ON i.index = k.conindid,
    LATERAL (SELECT pg_catalog.pg_get_constraintdef(k.oid) AS definition) d
    WHERE contype IN ('p', 'u', 'x', 'c') AND (NOT r.relispartition OR conislocal OR i.own)
    UNION ALL
    -- Of a partitioned table alone, as long as not all of its partitions have one.
    SELECT id, 65, 'index', relname, CASE WHEN indisvalid THEN replace(definition, ' ON ONLY ', ' ON ')
           ELSE definition END, 'DROP INDEX ' || name
    FROM index, LATERAL (SELECT pg_catalog.pg_get_indexdef(index) AS definition) d
    WHERE (indisvalid OR relkind = 'I') AND own AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = index AND k.contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT id, 65.5, 'index', relname, format('ALTER INDEX %s ATTACH PARTITION %s', part_of, name), ''
    FROM index WHERE part_of IS NOT NULL AND own
    UNION ALL
    -- What is made with the index of a partitioned table got a name of the server's.
    SELECT id, 65.6, 'name of index', relname, format('DO %L', format($make$
           DECLARE made text;
           BEGIN
               SELECT x.oid::regclass INTO made FROM pg_catalog.pg_inherits h
               JOIN pg_catalog.pg_index i ON i.indexrelid = h.inhrelid JOIN pg_catalog.pg_class x ON x.oid = h.inhrelid
               WHERE h.inhparent = %L::regclass AND i.indrelid = %L::regclass AND x.relname <> %L;
               IF FOUND THEN
                   EXECUTE pg_catalog.format('ALTER INDEX %%s RENAME TO %%I', made, %L);
               END IF;
           END $make$, part_of, rel, relname, relname)), ''
    FROM index WHERE part_of IS NOT NULL AND NOT own
    UNION ALL
    SELECT id, 66, 'replica identity', '', format('ALTER TABLE %s REPLICA IDENTITY %s', rel, CASE relreplident
           WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING' ELSE (SELECT format('USING INDEX %I', x.relname)
           FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
           WHERE i.indrelid = id AND i.indisreplident) END), format('ALTER TABLE %s REPLICA IDENTITY DEFAULT', rel)
    FROM relation WHERE relkind IN ('r', 'p') AND relreplident <> 'd'
    UNION ALL
    SELECT id, 67, 'statistics', stxname, pg_catalog.pg_get_statisticsobjdef(oid), 'DROP STATISTICS ' || name
    FROM statistic
    UNION ALL
    SELECT h.id, 68, 'inheritance', p.rel, format('ALTER TABLE %s INHERIT %s', h.rel, p.rel),
           format('ALTER TABLE %s NO INHERIT %s', h.rel, p.rel)
    FROM relation h JOIN pg_catalog.pg_inherits i ON i.inhrelid = h.id JOIN relation p ON p.id = i.inhparent
    WHERE h.relkind = 'r' AND NOT h.relispartition
    UNION ALL
    SELECT id, 70, 'trigger', tgname, pg_catalog.pg_get_triggerdef(t.oid), format('DROP TRIGGER %I ON %s', tgname, rel)
    FROM relation JOIN pg_catalog.pg_trigger t ON t.tgrelid = id
    WHERE NOT t.tgisinternal AND t.tgparentid = 0
    UNION ALL
    SELECT id, 71, 'trigger state', tgname, format('ALTER TABLE %s %s TRIGGER %I', rel, CASE tgenabled WHEN 'O' THEN
           'ENABLE' WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, tgname), ''
    FROM relation JOIN pg_catalog.pg_trigger t ON t.tgrelid = id WHERE relkind IN ('r', 'p')
    AND (NOT t.tgisinternal OR t.tgparentid <> 0 AND t.tgconstrrelid = 0)  -- a partition's, before version 15
    UNION ALL
    SELECT id, 72, 'rule', rulename, pg_catalog.pg_get_ruledef(w.oid), format('DROP RULE %I ON %s', rulename, rel)
    FROM relation JOIN pg_catalog.pg_rewrite w ON w.ev_class = id WHERE rulename <> '_RETURN'
    UNION ALL
    SELECT id, 73, 'rule state', rulename, format('ALTER TABLE %s %s RULE %I', rel, CASE ev_enabled WHEN 'O' THEN
           'ENABLE' WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, rulename), ''
    FROM relation JOIN pg_catalog.pg_rewrite w ON w.ev_class = id WHERE rulename <> '_RETURN' AND relkind IN ('r', 'p')
    UNION ALL
    SELECT id, 75, 'policy', polname, format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', polname, rel,
           CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END, CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a'
           THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
           (SELECT string_agg(CASE u WHEN 0 THEN 'PUBLIC' ELSE format('%I', pg_catalog.pg_get_userbyid(u)) END, ', ')
            FROM unnest(polroles) u), ' USING (' || pg_catalog.pg_get_expr(polqual, id) || ')',
           ' WITH CHECK (' || pg_catalog.pg_get_expr(polwithcheck, id) || ')'),
           format('DROP POLICY %I ON %s', polname, rel)
    FROM relation JOIN pg_catalog.pg_policy ON polrelid = id
    UNION ALL
    SELECT id, 76, 'row security', flag, format('ALTER TABLE %s %s ROW LEVEL SECURITY', rel, flag),
           format('ALTER TABLE %s %s ROW LEVEL SECURITY', rel, off)
    FROM relation, (VALUES ('ENABLE', 'DISABLE'), ('FORCE', 'NO FORCE')) f(flag, off)
    WHERE CASE flag WHEN 'ENABLE' THEN relrowsecurity ELSE relforcerowsecurity END
    UNION ALL
    SELECT id, 80, 'grant', '', format('GRANT %s ON %s TO %s%s', privilege_type, target, who,
           CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END),
           format('REVOKE %s ON %s FROM %s', privilege_type, target, who)
    FROM grants, LATERAL (SELECT CASE grantee WHEN 0 THEN 'PUBLIC'
                                 ELSE format('%I', pg_catalog.pg_get_userbyid(grantee)) END) w(who)
    UNION ALL
    SELECT id, 81, 'grant', attname, format('GRANT %s (%I) ON %s TO %s%s', privilege_type, attname, rel, who,
           CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END),
           format('REVOKE %s (%I) ON %s FROM %s', privilege_type, attname, rel, who)
    FROM col, pg_catalog.aclexplode(attacl), LATERAL (SELECT CASE grantee WHEN 0 THEN 'PUBLIC'
                                 ELSE format('%I', pg_catalog.pg_get_userbyid(grantee)) END) w(who)
    UNION ALL
    SELECT id, 95, 'option', option_name, format('ALTER TABLE %s SET (%I = %L)', rel, option_name, option_value),
           format('ALTER TABLE %s RESET (%I)', rel, option_name)
    FROM relation, pg_catalog.pg_options_to_table(reloptions) WHERE relkind IN ('r', 'p')
    UNION ALL
    SELECT * FROM setting
)
SELECT * FROM part;

-- The same for a table with its partitions: what they have of it comes with it, the rest is their own.
CREATE TEMP VIEW kleidia_whole AS
SELECT t.root AS id, s.rank + t.level / 1000.0 AS rank, s.kind, s.name, s.make, s.unmake
FROM (SELECT oid AS root, oid AS id, 0 AS level FROM pg_catalog.pg_class UNION ALL
      SELECT c.oid, p.relid, p.level FROM pg_catalog.pg_class c, pg_catalog.pg_partition_tree(c.oid) p
      WHERE c.relkind = 'p' AND p.level > 0) t,
     LATERAL (SELECT * FROM pg_temp.kleidia_shape s WHERE s.id = t.id OFFSET 0) s
WHERE t.level = 0 OR s.kind NOT IN ('table', 'partition', 'column', 'type', 'expression');
