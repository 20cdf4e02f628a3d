"""Real servers from PyPI wheels, filled: for the demo, the tests and the benchmarks."""
