SELECT 'updated', format('%%s %%s (now %%s)', extname, default_version, extversion)
FROM pg_extension JOIN pg_available_extensions a ON a.name = extname AND default_version <> extversion
WHERE extname = ANY (%(extensions)s::text[])
UNION ALL
SELECT CASE WHEN a.name IS NULL THEN 'missing' ELSE 'forbidden' END, wanted
FROM unnest(%(extensions)s::text[]) wanted LEFT JOIN pg_available_extensions a ON a.name = wanted
WHERE a.name IS NULL OR NOT %(superuser)s AND NOT EXISTS (
    SELECT FROM pg_available_extension_versions v
    WHERE v.name = a.name AND v.version = a.default_version AND (v.trusted OR NOT v.superuser))
ORDER BY 1, 2
