"""OpenBao and Vault: login, the hot path, the fan-out source and sink."""
