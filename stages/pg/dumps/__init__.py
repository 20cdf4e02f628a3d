"""What the stages that dump are made of: one run of pg_dump, and what several runs share."""
