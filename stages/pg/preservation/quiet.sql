DO $kleidia$
DECLARE r record; was jsonb := '[]';
BEGIN
    FOR r IN SELECT oid, evtname, evtenabled FROM pg_catalog.pg_event_trigger
             WHERE evtenabled <> 'D' AND pg_catalog.pg_has_role(evtowner, 'USAGE') LOOP
        EXECUTE pg_catalog.format('ALTER EVENT TRIGGER %I DISABLE', r.evtname);
        was := was || pg_catalog.jsonb_build_object('id', r.oid::bigint, 'state', r.evtenabled);
    END LOOP;
    CREATE TEMP TABLE kleidia_event (id bigint, state text) ON COMMIT DROP;
    INSERT INTO pg_temp.kleidia_event SELECT * FROM pg_catalog.jsonb_to_recordset(was) AS (id bigint, state text);
END $kleidia$;
