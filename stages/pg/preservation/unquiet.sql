DO $kleidia$
DECLARE r record;
BEGIN
    FOR r IN SELECT e.evtname, k.state FROM pg_temp.kleidia_event k JOIN pg_catalog.pg_event_trigger e ON e.oid = k.id
             WHERE e.evtenabled = 'D' LOOP
        EXECUTE pg_catalog.format('ALTER EVENT TRIGGER %I ENABLE%s', r.evtname,
            CASE r.state WHEN 'A' THEN ' ALWAYS' WHEN 'R' THEN ' REPLICA' ELSE '' END);
    END LOOP;
END $kleidia$;
