"""Some tables of an archive, brought back alone: what they are is pg_dump's word about a scratch database."""
