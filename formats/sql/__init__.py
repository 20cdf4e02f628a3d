"""SQL text as a server reads it: cut into statements and rows, and looked at. Pure and incremental."""
