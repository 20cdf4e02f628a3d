"""What is told of the service: written with what it tells of, then sent."""
