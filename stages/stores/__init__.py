"""Places for archives: S3 and a local directory behind one protocol."""
