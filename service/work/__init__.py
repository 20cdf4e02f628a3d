"""What the service does by itself: run jobs, fire the schedule, delete what is too old, bury what died."""
