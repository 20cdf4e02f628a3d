"""What is different between two archives, or between an archive and what there is now."""
