"""PostgreSQL: pg_dump as a source, a transaction as a sink, and the questions asked around them."""
