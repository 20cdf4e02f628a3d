"""JSON as text: found, cut and compared without being decoded."""
