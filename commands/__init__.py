"""The commands of ``kleidia-backup``."""
