"""Metadata and older versions of secrets: read with a backup, brought back by a restore."""
