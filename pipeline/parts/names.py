"""The names of the parts, and the one that means the newest archive."""

from __future__ import annotations

from typing import Literal, TypeAlias

PartName: TypeAlias = Literal["database", "vault"]

#: The NAME that means the archive that was made last, wherever the name of one is taken.
LATEST = "latest"

#: What an archive holds of each, with its verb.
HOLDS: dict[PartName, str] = {"database": "database was", "vault": "secrets were"}
