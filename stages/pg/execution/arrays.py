"""Arrays of texts, as PostgreSQL reads them."""

from __future__ import annotations

from collections.abc import Iterable


def array(texts: Iterable[str]) -> str:
    """A text[]."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"
