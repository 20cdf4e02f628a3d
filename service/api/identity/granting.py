"""From the claims of a token to what its owner may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .origin import line
from .roles import Principal

if TYPE_CHECKING:
    from ....config.login.grants import Grant, Role


@dataclass(frozen=True, slots=True)
class Granting:
    """What the values of a role claim mean: a role on every target, or a grant on some."""

    admin: tuple[str, ...] = ("admin",)
    operator: tuple[str, ...] = ("operator",)
    viewer: tuple[str, ...] = ("viewer",)
    grants: tuple[Grant, ...] = ()

    def principal(self, subject: str, name: str, values: frozenset[str]) -> Principal | None:
        """Somebody with these values of the role claim; None when they give no role at all."""
        by_role: tuple[tuple[Role, tuple[str, ...]], ...] = (
            ("admin", self.admin),
            ("operator", self.operator),
            ("viewer", self.viewer),
        )
        role = next((role for role, named in by_role if values.intersection(named)), None)
        grants = tuple(grant for grant in self.grants if grant.of in values)
        return Principal(subject, name, role, grants) if role or grants else None


def name_of(claims: Mapping[str, Any], subject: str) -> str:
    """What people call the owner of a token; the subject when no claim says it."""
    names = (claims.get(name) for name in ("name", "preferred_username", "username", "email"))
    return next((found for each in names if isinstance(each, str) and (found := line(each))), subject)


def role_values(claims: Mapping[str, Any], claim: str) -> frozenset[str]:
    """The texts that a claim holds, one or a list; dots in its name lead into objects."""
    value: Any = claims.get(claim)
    if value is None:
        value = claims
        for name in claim.split("."):
            value = value.get(name) if isinstance(value, dict) else None
    found = value if isinstance(value, list) else [value]
    return frozenset(each for each in found if isinstance(each, str))
