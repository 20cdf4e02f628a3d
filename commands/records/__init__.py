"""What the service has written down, read by commands."""
