SELECT 'missing', wanted FROM unnest(%(roles)s::text[]) wanted
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted)
UNION ALL SELECT 'other', rolname FROM pg_roles
WHERE rolname = ANY (%(owners)s::text[]) AND NOT pg_has_role(oid, %(right)s)
ORDER BY 1, 2
