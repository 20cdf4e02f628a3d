"""Some tables of an archive, brought back alone, or as a copy beside what is there; and what that would do."""
