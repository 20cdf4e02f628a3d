"""Which names are ours: archives are called ``{prefix}backup-….enc``, and nothing else is ever cleaned up."""

from __future__ import annotations

import re
import secrets

_ARCHIVE = re.compile(r"backup-[^/]+\.enc")


def is_ours(name: str, prefix: str) -> bool:
    """Whether ``name`` (with its prefix) is one that this product gives to an archive under ``prefix``."""
    return name.startswith(prefix) and _ARCHIVE.fullmatch(name, len(prefix)) is not None


def probe_name(prefix: str) -> str:
    """A new name of ours, for trying out what the store allows; a left-over of it is cleaned up like an upload."""
    return f"{prefix}backup-check-{secrets.token_hex(8)}.enc"
