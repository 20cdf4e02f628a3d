"""People who log in, and who may do what."""
