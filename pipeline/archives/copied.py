"""What is known of an archive's copies in other stores."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

#: ``missing``: it is not there. ``copying``: it is being copied, or that broke off. ``ok``: it was compared, and both
#: are what they were then. ``differs``: it is there, and is not known to be the archive. ``failed``: it could not be
#: made, or compared.
State: TypeAlias = Literal["missing", "copying", "ok", "differs", "failed"]


@dataclass(frozen=True, slots=True)
class CopyState:
    """One archive in one copy: its name without a prefix, ``size`` bytes there, stored there at ``at``.

    ``copy`` names the copy. ``error`` and ``hint`` say why it failed.
    """

    archive: str
    copy: str
    state: State
    size: int | None = None
    at: datetime | None = None
    error: str = ""
    hint: str = ""
