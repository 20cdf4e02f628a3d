"""Stages between the parts of a backup and the store: assembly, upload, download, and the way back."""
