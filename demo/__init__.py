"""The demo: a whole system filled, backed up, wrecked, restored and compared."""
