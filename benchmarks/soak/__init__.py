"""A long run of the service with failing servers: ``python -m benchmarks.soak``."""
