"""Archive format V1. ``SPEC.md`` is the specification."""
