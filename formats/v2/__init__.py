"""Archive format V2: head, slots, segments, tar, chunks, index (SPEC.md)."""
