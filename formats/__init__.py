"""Archive formats: pure and synchronous, bytes in, bytes out."""
