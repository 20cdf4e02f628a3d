"""The settings of notifications."""
