"""Drills: their settings, and what is made of these."""
