"""Who may open an archive of format V2, and who made it: key slots, pairs of keys, signatures (SPEC.md, 4 and 9)."""
