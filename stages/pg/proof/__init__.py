"""Proof that a restore brought back what an archive's SQL says."""
