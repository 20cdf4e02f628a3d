"""Keys from passwords, and authenticated encryption."""
