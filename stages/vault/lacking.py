"""What a backup could have recorded besides the values, and the token may not read: one warning says all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..words import listed


@dataclass(frozen=True, slots=True)
class Lacking:
    """Something that is not in the archive, the ``rights`` that it wants, and the setting that leaves it out."""

    what: str
    rights: tuple[str, ...]
    setting: Literal["metadata", "policies"]


def summary(lacking: Sequence[Lacking]) -> list[str]:
    """One sentence for all of it, as it comes with each backup; none for nothing."""
    if not lacking:
        return []
    rights = dict.fromkeys(right for each in lacking for right in each.rights)
    settings = dict.fromkeys(f"{each.setting} = false" for each in lacking)
    what = listed([each.what for each in lacking])
    leave_out = f"leave it out, and this warning with it, by {listed(list(settings))} in [vault]"
    said = f"The token may not read all that an archive of format V2 takes, which is without {what}."
    return [f"{said} Grant {listed(list(rights))}; or {leave_out}."]
