"""Questions about many targets at once: what each is like, and which need to be looked at now."""
