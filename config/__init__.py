"""The configuration: read from a file and the environment, and made into settings, whose classes declare it."""
