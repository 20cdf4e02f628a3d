"""Preserved tables: their rows and definitions survive a restore."""
