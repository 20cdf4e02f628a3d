"""How hard zstd compresses: its levels, and the usual one (any reader reads them all)."""

#: The fastest, the slowest that needs no more memory to decompress than a reader allows, and the usual one.
LOWEST, HIGHEST, LEVEL = 1, 19, 1
