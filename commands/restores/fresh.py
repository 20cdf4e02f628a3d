"""``restore --fresh``: what the targets lack around the data is shown, and made when the question was answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...pipeline.fresh import Missing, find_missing, make_missing
from ...pipeline.reports import words

if TYPE_CHECKING:
    from ...pipeline.parts.request import RestoreRequest
    from ..invocation import Invocation


def look(invocation: Invocation, request: RestoreRequest) -> Missing:
    """What is missing, after showing it on stderr. Raises what ``find_missing`` raises."""
    policies = invocation.arguments.policies
    missing = invocation.stopper.run(lambda: find_missing(request, policies=policies))
    for line in shown(missing):
        if line.startswith(_INDENT):
            invocation.terminal.tell(line)
        else:
            invocation.terminal.warn(line)
    return missing


def make(invocation: Invocation, request: RestoreRequest, missing: Missing) -> None:
    """Make it. Raises what ``make_missing`` raises."""
    if missing.something:
        invocation.stopper.run(lambda: make_missing(request, missing))


_INDENT = "  "
_RIGHTS = ("superuser", "createrole", "createdb", "replication", "bypassrls")


def shown(missing: Missing) -> list[str]:
    """One line for each."""
    lines = [f"is missing and will be made: KV mount {each.path} (version {each.version})" for each in missing.mounts]
    for role in missing.roles:
        rights = [each for each in _RIGHTS if getattr(role, each)]
        with_password = f"can log in, with{'' if role.password else 'out'} a password"
        kind = ", ".join([with_password if role.login else "cannot log in", *rights])
        lines.append(f"is missing and will be made: role {role.name} ({kind})")
    for policy in missing.policies:
        text = [_INDENT + line for line in policy.text.splitlines() if line.strip()]
        lines += [f"is missing and will be written: policy {policy.name}", *text]
    lines += [f"is there with another text, and stays: policy {name}" for name in missing.other_policies]
    return [_INDENT * line.startswith(_INDENT) + words.printable(line) for line in lines]
