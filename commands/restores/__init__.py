"""Kinds of restores, and what is asked before one."""
