"""Who has which role, and for which targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

#: From least to most: looks; backs up, verifies and drills; restores, deletes and changes settings.
Role: TypeAlias = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
#: In the place of a target's name: all of them.
ALL = "*"


@dataclass(frozen=True, slots=True)
class Grant:
    """Whoever has the value ``of`` in the role claim has ``role`` on these ``targets``; ``*`` is all of them."""

    of: str
    role: Role
    targets: tuple[str, ...] = (ALL,)


def grants_from(value: object) -> tuple[Grant, ...] | None:
    """The tables of a configuration as grants; None when one cannot be used."""
    if not isinstance(value, list):
        return None
    found = []
    for each in value:
        if not isinstance(each, dict) or not {"of", "role"} <= each.keys() <= {"of", "role", "targets"}:
            return None
        of, role, targets = each["of"], each["role"], each.get("targets", [ALL])
        if isinstance(targets, str):
            targets = [targets]
        if not isinstance(of, str) or not of or role not in ROLES or not isinstance(targets, list) or not targets:
            return None
        if not all(isinstance(target, str) and target for target in targets):
            return None
        found.append(Grant(of, role, tuple(targets)))
    return tuple(found)
