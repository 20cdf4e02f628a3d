"""The command serve, and what fills its demo."""
