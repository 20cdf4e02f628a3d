-- How many different rows are more often on one side than on the other.
WITH archived AS (
    SELECT pg_catalog.sha256(pg_catalog.convert_to(r::text, 'UTF8')) AS digest, count(*) AS times
    FROM {archived} r GROUP BY 1
), restored AS (
    SELECT pg_catalog.sha256(pg_catalog.convert_to(r::text, 'UTF8')) AS digest, count(*) AS times
    FROM ({restored}) r GROUP BY 1
)
SELECT count(*) FROM archived FULL JOIN restored USING (digest) WHERE archived.times IS DISTINCT FROM restored.times
