"""Uploads to S3 that are gone on with."""
