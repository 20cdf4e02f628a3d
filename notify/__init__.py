"""Tells people and other machines what became of a job: a ping, a webhook, mail, and what apprise knows."""
