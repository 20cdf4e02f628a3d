"""Everything that makes up a table, as SQL that makes each part and SQL that takes it away again.

``SHAPE`` defines the temporary view ``pg_temp.kleidia_shape``: one row for each part of each relation, in the order
of ``rank`` in which parts can be made. Two tables are alike when they have the same parts; what one lacks is made by
running ``make``. Foreign keys are not among the parts: they concern two tables (see ``preserve``).
Read it with an empty ``search_path``: then every name in it is qualified.
"""

from __future__ import annotations

SHAPE = r"""
CREATE TEMP VIEW kleidia_shape AS
WITH relation AS (
    SELECT c.*, c.oid AS id, format('%I.%I', n.nspname, c.relname) AS rel,
           CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END AS word
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm')
), col AS (
    SELECT a.*, r.id, r.rel, r.relkind, r.word, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
           CASE WHEN a.attcollation <> t.typcollation
                THEN (SELECT format(' COLLATE %I.%I', n.nspname, l.collname) FROM pg_catalog.pg_collation l
                      JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace WHERE l.oid = a.attcollation)
                ELSE '' END AS collated,
           pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS expression
    FROM relation r JOIN pg_catalog.pg_attribute a ON a.attrelid = r.id AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = r.id AND d.adnum = a.attnum
), definition AS (
    SELECT col.*, format('%I %s%s%s', attname, type, collated, CASE attgenerated WHEN '' THEN ''
           ELSE format(' GENERATED ALWAYS AS (%s) %s', expression,
                       CASE attgenerated WHEN 's' THEN 'STORED' ELSE 'VIRTUAL' END) END) AS definition
    FROM col
), seq AS (
    SELECT c.id, c.rel, c.attname, c.attidentity, s.oid AS seq_id, s.relowner, s.relacl,
           format('%I.%I', n.nspname, s.relname) AS seq, q.seqtypid,
           format('INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s CACHE %s%s', q.seqincrement, q.seqmin,
                  q.seqmax, q.seqstart, q.seqcache, CASE WHEN q.seqcycle THEN ' CYCLE' ELSE ' NO CYCLE' END) AS options
    FROM col c JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.id
         AND d.refobjsubid = c.attnum AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i')
    JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid
), tree(root, id, depth) AS (
    SELECT p.oid, t.relid::oid, t.level FROM pg_catalog.pg_class p, pg_catalog.pg_partition_tree(p.oid) t
    WHERE p.relkind = 'p' AND t.level > 0
), grants AS (
    SELECT r.id, r.rel AS target, a.* FROM relation r,
           pg_catalog.aclexplode(coalesce(r.relacl, pg_catalog.acldefault('r', r.relowner))) a
    UNION ALL
    SELECT s.id, 'SEQUENCE ' || s.seq, a.* FROM seq s,
           pg_catalog.aclexplode(coalesce(s.relacl, pg_catalog.acldefault('s', s.relowner))) a
), part(id, rank, kind, name, make, unmake) AS (
    SELECT id, 10, 'table', '', CASE WHEN relkind IN ('v', 'm')
        THEN format('CREATE %s %s%s AS %s', word, rel,
             ' WITH (' || (SELECT string_agg(format('%I = %L', option_name, option_value), ', ')
                           FROM pg_catalog.pg_options_to_table(reloptions)) || ')',
             rtrim(pg_catalog.pg_get_viewdef(id), '; '))
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
    SELECT id, 35, 'owner', '', format('ALTER %s %s OWNER TO %I', word, rel, pg_catalog.pg_get_userbyid(relowner)), ''
    FROM relation
    UNION ALL
    SELECT id, 40, 'sequence', seq, format('CREATE SEQUENCE IF NOT EXISTS %s; ALTER SEQUENCE %s OWNER TO %I;'
           ' ALTER SEQUENCE %s AS %s %s OWNED BY %s.%I', seq, seq, pg_catalog.pg_get_userbyid(relowner), seq,
           pg_catalog.format_type(seqtypid, NULL), options, rel, attname), ''
    FROM seq WHERE attidentity = ''
    UNION ALL
    SELECT id, 42, 'not null', attname, format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', rel, attname),
           format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', rel, attname)
    FROM col WHERE attnotnull AND relkind IN ('r', 'p') AND (attidentity <> '' OR NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = id AND k.contype = 'p' AND attnum = ANY (k.conkey)))
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
    SELECT id, 60, 'constraint', conname, format('ALTER TABLE %s ADD CONSTRAINT %I %s', rel, conname,
           pg_catalog.pg_get_constraintdef(k.oid)), format('ALTER TABLE %s DROP CONSTRAINT %I', rel, conname)
    FROM relation JOIN pg_catalog.pg_constraint k ON k.conrelid = id WHERE contype IN ('p', 'u', 'x', 'c')
    UNION ALL
    SELECT id, 65, 'index', x.relname, replace(pg_catalog.pg_get_indexdef(x.oid), ' ON ONLY ', ' ON '),
           format('DROP INDEX %I.%I', n.nspname, x.relname)
    FROM relation JOIN pg_catalog.pg_index i ON i.indrelid = id AND i.indisvalid
    JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = x.relnamespace
    WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = x.oid AND k.contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT id, 66, 'replica identity', '', format('ALTER TABLE %s REPLICA IDENTITY %s', rel, CASE relreplident
           WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING' ELSE (SELECT format('USING INDEX %I', x.relname)
           FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
           WHERE i.indrelid = id AND i.indisreplident) END), format('ALTER TABLE %s REPLICA IDENTITY DEFAULT', rel)
    FROM relation WHERE relkind IN ('r', 'p') AND relreplident <> 'd'
    UNION ALL
    SELECT id, 67, 'statistics', s.stxname, pg_catalog.pg_get_statisticsobjdef(s.oid),
           format('DROP STATISTICS %I.%I', n.nspname, s.stxname)
    FROM relation JOIN pg_catalog.pg_statistic_ext s ON s.stxrelid = id
    JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
    UNION ALL
    SELECT h.id, 68, 'inheritance', p.rel, format('ALTER TABLE %s INHERIT %s', h.rel, p.rel),
           format('ALTER TABLE %s NO INHERIT %s', h.rel, p.rel)
    FROM relation h JOIN pg_catalog.pg_inherits i ON i.inhrelid = h.id JOIN relation p ON p.id = i.inhparent
    WHERE h.relkind = 'r' AND NOT h.relispartition
    UNION ALL
    SELECT id, 70, 'trigger', tgname, pg_catalog.pg_get_triggerdef(t.oid), format('DROP TRIGGER %I ON %s', tgname, rel)
    FROM relation JOIN pg_catalog.pg_trigger t ON t.tgrelid = id WHERE NOT t.tgisinternal
    UNION ALL
    SELECT id, 71, 'trigger state', tgname, format('ALTER TABLE %s %s TRIGGER %I', rel, CASE tgenabled WHEN 'O' THEN
           'ENABLE' WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, tgname), ''
    FROM relation JOIN pg_catalog.pg_trigger t ON t.tgrelid = id WHERE NOT t.tgisinternal AND relkind IN ('r', 'p')
    UNION ALL
    SELECT id, 72, 'rule', rulename, pg_catalog.pg_get_ruledef(w.oid), format('DROP RULE %I ON %s', rulename, rel)
    FROM relation JOIN pg_catalog.pg_rewrite w ON w.ev_class = id WHERE rulename <> '_RETURN'
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
    SELECT id, 90, 'comment', '', format('COMMENT ON %s %s IS %L', word, rel, d.description),
           format('COMMENT ON %s %s IS NULL', word, rel)
    FROM relation JOIN pg_catalog.pg_description d ON d.objoid = id AND d.objsubid = 0
         AND d.classoid = 'pg_catalog.pg_class'::regclass
    UNION ALL
    SELECT id, 91, 'comment', attname, format('COMMENT ON COLUMN %s.%I IS %L', rel, attname, d.description),
           format('COMMENT ON COLUMN %s.%I IS NULL', rel, attname)
    FROM col JOIN pg_catalog.pg_description d ON d.objoid = id AND d.objsubid = attnum
         AND d.classoid = 'pg_catalog.pg_class'::regclass
    UNION ALL
    SELECT id, 95, 'option', option_name, format('ALTER TABLE %s SET (%I = %L)', rel, option_name, option_value),
           format('ALTER TABLE %s RESET (%I)', rel, option_name)
    FROM relation, pg_catalog.pg_options_to_table(reloptions) WHERE relkind IN ('r', 'p')
)
SELECT * FROM part;
"""
