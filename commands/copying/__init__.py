"""Second copies on the command line."""
