"""Backups that take unchanged secrets from the archive before."""
