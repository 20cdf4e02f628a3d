"""The policies of a vault: recorded, compared with those of an archive, and written where they are missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ...formats.v2.recorded import Policy
from ..errors import Right, VaultError, VaultForbidden
from .asking import ask, read_as
from .kv.transport import LIST, Call
from .lacking import Lacking

if TYPE_CHECKING:
    from .kv.client import VaultClient
    from .kv.troubles import Answer

#: Bytes of policies that are recorded at most.
POLICIES = 512 * 1024
_PATH = "sys/policies/acl"


class _Keys(msgspec.Struct):
    keys: list[str] = msgspec.field(default_factory=list)


class _NamesAnswer(msgspec.Struct):
    data: _Keys


class _Text(msgspec.Struct):
    policy: str = ""


class _PolicyAnswer(msgspec.Struct):
    data: _Text


@dataclass(frozen=True, slots=True)
class Compared:
    """Policies of an archive that the vault does not have, and names of those that it has with another text."""

    missing: tuple[Policy, ...] = ()
    other: tuple[str, ...] = ()


async def record_policies(client: VaultClient) -> tuple[list[Policy], list[Lacking], list[str]]:
    """All of them, what the token may not read, and warnings. Changes nothing."""
    listed = read_as(await ask(client, Call("GET", _PATH, query=LIST)), _NamesAnswer)
    if listed is None:
        return [], [Lacking("the vault's policies", (f"list on {_PATH}", f"read on {_PATH}/*"), "policies")], []
    names = [name for name in listed.data.keys if name != "root"]
    found, lost, size = [], [], 0
    for name in names:
        answer = read_as(await ask(client, Call("GET", f"{_PATH}/{name}")), _PolicyAnswer)
        text = "" if answer is None else answer.data.policy
        size += len(text.encode()) + len(name)
        if answer is None or size > POLICIES:
            lost.append(name)
        else:
            found.append(Policy(name=name, text=text))
    if not lost:
        return found, [], []
    shown = ", ".join(lost[:20])
    return found, [], [f"{len(lost)} policies are not in the archive, unreadable or too many: {shown}."]


async def compare_policies(client: VaultClient, policies: Sequence[Policy]) -> Compared:
    """Which of an archive's policies are missing here, or have another text. Changes nothing.

    Raises ``VaultForbidden`` when the token may not read one, and ``VaultError``.
    """
    missing, other = [], []
    for policy in policies:
        right = Right("read", f"{_PATH}/{policy.name}")
        answer = await client.control(Call("GET", right.path))
        if answer.status == 404:
            missing.append(policy)
        elif answer.status != 200:
            raise _refused(answer, right, "read")
        elif (said := read_as(answer, _PolicyAnswer)) is None or said.data.policy != policy.text:
            other.append(policy.name)
    return Compared(tuple(missing), tuple(other))


async def make_policy(client: VaultClient, policy: Policy) -> None:
    """Write a policy that is not there. Raises ``VaultForbidden`` and ``VaultError``."""
    right = Right("update", f"{_PATH}/{policy.name}")
    answer = await client.control(Call("POST", right.path, msgspec.json.encode({"policy": policy.text})))
    if answer.status not in {200, 204}:
        raise _refused(answer, right, "write")


def _refused(answer: Answer, right: Right, verb: str) -> VaultError:
    if answer.status == 403:
        return VaultForbidden(f"The token may not {verb} {right.path}.", hint=f"Grant it {right}.", rights=(right,))
    said = answer.errors() or answer.status
    return VaultError(f"The vault does not {verb} {right.path}: {said}.", hint="Write that policy by hand.")
