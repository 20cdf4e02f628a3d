"""A client of OpenBao and Vault: login, the hot path, KV engines, roots."""
