"""The pipelines: the engine, and the two DAGs composed from stages."""
