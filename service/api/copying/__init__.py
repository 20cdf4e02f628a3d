"""Second copies in the API."""
