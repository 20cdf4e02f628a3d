"""Drills: archives are restored into scratch servers and compared with what they say."""
