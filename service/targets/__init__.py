"""Several targets in one replica: which there are, what runs by itself for all of them, reloading."""
