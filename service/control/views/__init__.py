"""What is looked at and changes nothing: inspections of archives, and statistics."""
