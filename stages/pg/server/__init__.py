"""A client of PostgreSQL: connections, questions, settings, rights, tools, and what refusals mean."""
