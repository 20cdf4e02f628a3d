"""The journal of a restore, and putting back what it wrote."""
