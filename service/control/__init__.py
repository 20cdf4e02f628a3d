"""What the service keeps in PostgreSQL: jobs, audit log, settings, schedule, rate limits."""
