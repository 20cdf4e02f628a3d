"""PostgreSQL: pg_dump as a source, psql as a sink, and the questions asked around them."""
