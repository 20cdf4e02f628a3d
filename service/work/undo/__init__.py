"""Restores that ended in the middle: where their journals lie, and their end."""
