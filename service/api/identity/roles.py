"""Who may do what: the one table of it, and the one function that every route asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ....config.login.grants import ALL, ROLES, Grant, Role

#: What there is to do. Every route has one.
Action: TypeAlias = Literal[
    "read",
    "backup",
    "verify",
    "drill",
    "cancel",
    "cancel-any",
    "restore",
    "undo",
    "validate-password",
    "inspect",
    "download",
    "export",
    "delete",
    "pin",
    "settings",
    "test-connection",
    "test-notifications",
    "administer",
]
#: The least role that may do it. ``administer`` is whatever has no name of its own.
NEEDS: dict[Action, Role] = {
    "read": "viewer",
    "backup": "operator",
    "verify": "operator",
    "drill": "operator",
    "cancel": "operator",
    "cancel-any": "admin",
    "restore": "admin",
    "undo": "admin",
    "validate-password": "admin",
    "inspect": "admin",
    "download": "admin",
    "export": "admin",
    "delete": "admin",
    "pin": "admin",
    "settings": "admin",
    "test-connection": "admin",
    "test-notifications": "admin",
    "administer": "admin",
}
#: The jobs that whoever may ``cancel`` can end: those that an operator can start. Others need ``cancel-any``.
_OPERATORS = frozenset({"backup", "verify", "drill"})


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller: ``subject`` identifies, ``name`` is for people.

    ``role`` counts for every target, None is no role; ``grants`` add to it on some.
    """

    subject: str
    name: str
    role: Role | None
    grants: tuple[Grant, ...] = ()


def role_on(principal: Principal, target: str) -> Role | None:
    """The highest role that somebody has on a target; None: none at all."""
    held = {grant.role for grant in principal.grants if ALL in grant.targets or target in grant.targets}
    return max(held | ({principal.role} if principal.role else set()), key=ROLES.index, default=None)


def allowed(principal: Principal, action: Action, target: str) -> bool:
    """Whether somebody may do something with a target."""
    role = role_on(principal, target)
    return role is not None and ROLES.index(role) >= ROLES.index(NEEDS[action])


def cancelling(kind: str) -> Action:
    """What ending a job of that kind is."""
    return "cancel" if kind in _OPERATORS else "cancel-any"
