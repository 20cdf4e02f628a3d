"""What a backup leaves out, and what no restore brings back as it is."""
