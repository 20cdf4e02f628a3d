"""Notifications on the command line: the test, and what is told of jobs."""
