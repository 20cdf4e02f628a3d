"""Objects that stay: Object Lock, legal holds, and the versions that a bucket keeps."""
