"""Login of people by OpenID Connect, and the sessions that come of it."""
