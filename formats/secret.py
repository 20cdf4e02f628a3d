"""One secret, as it travels between the vault, the archive and back."""

from __future__ import annotations

from dataclasses import dataclass

#: Largest JSON text of one secret, in bytes. OpenBao's raft storage takes 1 MiB by default.
MAX_SECRET = 8 * 1024 * 1024

#: Largest secret on an edge, its path included.
MAX_ITEM = MAX_SECRET + 64 * 1024


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret's archive path (without a leading slash) and its value as JSON text, exactly as the server wrote it.

    The value never appears in ``repr``.
    """

    path: str
    value: bytes

    @property
    def nbytes(self) -> int:
        """Bytes this secret occupies on an edge."""
        return len(self.path) + len(self.value)

    def __repr__(self) -> str:
        return f"Secret(path={self.path!r}, value=<{len(self.value)} bytes>)"
