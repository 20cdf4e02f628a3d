"""Random kills: ``python -m benchmarks.chaos``."""
