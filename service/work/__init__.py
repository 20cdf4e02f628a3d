"""Background work: run jobs, fire the schedule, delete old archives, fail jobs whose replica died."""
