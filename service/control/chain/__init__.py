"""The audit log as a chain: what was cut out of it, or changed in it, shows."""
