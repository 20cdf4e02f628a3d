SELECT 'CREATE', 'schema ' || nspname FROM pg_namespace
WHERE nspname = ANY (%(schemas)s::text[]) AND NOT has_schema_privilege(oid, 'CREATE')
UNION ALL SELECT 'CREATE', 'database ' || current_database()
WHERE NOT has_database_privilege(current_database(), 'CREATE')
AND (%(more)s OR NOT EXISTS (SELECT FROM pg_language WHERE lanname = 'plpgsql'))
UNION ALL SELECT 'TEMPORARY', 'database ' || current_database()
WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')
UNION ALL SELECT 'USAGE', 'language ' || lanname FROM pg_language
WHERE lanname = 'plpgsql' AND NOT has_language_privilege(oid, 'USAGE')
UNION ALL SELECT 'CREATE', format('schema %%s for %%s', nspname, rolname)  -- or it cannot own anything there
FROM unnest(%(owners)s::text[], %(places)s::text[]) o(owner, place)
JOIN pg_roles ON rolname = owner JOIN pg_namespace ON nspname = place
WHERE nspname = ANY (%(schemas)s::text[]) AND rolname <> current_user AND NOT %(superuser)s
AND NOT has_schema_privilege(rolname, pg_namespace.oid, 'CREATE')
UNION ALL SELECT 'missing', wanted FROM unnest(%(schemas)s::text[]) wanted
WHERE NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = wanted)
UNION ALL SELECT 'ownership', 'schema ' || nspname FROM pg_namespace
WHERE nspname = ANY (%(commented)s::text[]) AND NOT pg_has_role(nspowner, 'USAGE')
UNION ALL SELECT 'superuser', 'function that sets ' || name FROM pg_settings
WHERE name = ANY (%(parameters)s::text[]) AND context = 'superuser' AND NOT %(superuser)s AND NOT :may_set
UNION ALL SELECT 'no tablespace', wanted FROM unnest(%(tablespaces)s::text[]) wanted
WHERE NOT EXISTS (SELECT FROM pg_tablespace WHERE spcname = wanted)
UNION ALL SELECT 'CREATE', 'tablespace ' || spcname FROM pg_tablespace
WHERE spcname = ANY (%(tablespaces)s::text[]) AND NOT has_tablespace_privilege(oid, 'CREATE')
AND oid <> (SELECT dattablespace FROM pg_database WHERE datname = current_database())
ORDER BY 1, 2
