"""One encrypted, verified archive of a PostgreSQL database and an OpenBao (or Vault) KV store, and both back."""
