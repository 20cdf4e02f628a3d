"""What a restore would change in a live database, and what is in its way."""
