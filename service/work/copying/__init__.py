"""Second copies, filled by the service."""
