"""Real servers from PyPI wheels: for the demo, the tests and the benchmarks."""
