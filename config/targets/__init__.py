"""Several systems in one configuration: each is a target with sections of its own."""
