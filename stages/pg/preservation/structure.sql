SELECT format('%I', c.relname), c.oid::text, c.relkind::text, c.relfilenode::text, c.relhastriggers::text,
       c.relhasrules::text, c.relrowsecurity::text,
       (SELECT string_agg(a.ctid::text, ' ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid),
       (SELECT string_agg(w.ctid::text, ' ' ORDER BY w.oid) FROM pg_rewrite w WHERE w.ev_class = c.oid),
       (SELECT string_agg(k.oid::text, ' ' ORDER BY k.oid) FROM pg_constraint k WHERE k.conrelid = c.oid)
FROM pg_class c
WHERE c.relnamespace = pg_my_temp_schema() AND starts_with(c.relname, 'kleidia_') AND c.relkind IN ('r', 'v') ORDER BY 1
