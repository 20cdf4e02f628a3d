"""Second copies: archives in other stores than the one they were made in."""
