"""The terminal: what is asked, shown and told there."""
