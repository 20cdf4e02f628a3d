"""Second copies in the control tables."""
