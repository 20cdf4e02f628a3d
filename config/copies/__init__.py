"""Second copies in the configuration: [[copies]]."""
