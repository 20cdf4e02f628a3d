"""Stages move data between an edge and the world, or between an edge and a format."""
