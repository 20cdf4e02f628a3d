-- Remembers the foreign keys of other tables that refer to these, or to the tables that these are partitions of, and
-- takes away all that concern these.
DO $kleidia$
DECLARE r record;
BEGIN
    FOR r IN
        SELECT f.oid AS id, f.conrelid, format('%I.%I', n.nspname, c.relname) AS rel, f.conname,
               f.conrelid <> ALL (:tree::oid[]) AS others
        FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class c ON c.oid = f.conrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE f.contype = 'f' AND f.conparentid = 0
        AND (f.conrelid = ANY (:tree::oid[]) OR f.confrelid = ANY (:tree::oid[]) OR f.confrelid IN (
            SELECT a.relid FROM unnest(:tree::oid[]) AS t(id), pg_catalog.pg_partition_ancestors(t.id) AS a
        ))
    LOOP
        IF r.others THEN
            INSERT INTO pg_temp.kleidia_fk SELECT r.conrelid, r.rel, r.conname,
                format('ALTER TABLE %s ADD CONSTRAINT %I %s', r.rel, r.conname, pg_catalog.pg_get_constraintdef(r.id)),
                pg_catalog.obj_description(r.id, 'pg_constraint'),
                (SELECT array_agg(format('%s %s', t.tgfoid, t.tgenabled)) FROM pg_catalog.pg_trigger t
                 WHERE t.tgconstraint = r.id AND t.tgenabled <> 'O' AND t.tgrelid = r.conrelid);
        END IF;
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', r.rel, r.conname);
    END LOOP;
END $kleidia$;
