"""Sessions of people who logged in."""
