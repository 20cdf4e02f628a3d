"""The archive format: pure and synchronous, bytes in, bytes out. ``SPEC.md`` is the specification."""
