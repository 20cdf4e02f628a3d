"""What stands around the data: the vault, its mounts and policies, roles of the database (SPEC.md, section 6)."""

from __future__ import annotations

import msgspec

from ..errors import DamagedArchive


class Mount(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A KV engine: its ``version``, and the ``config`` of one of version 2 as the vault says it."""

    path: str
    version: int = 1
    description: str = ""
    max_versions: int = 0
    cas_required: bool = False
    delete_version_after: str = ""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy of the vault, as text."""

    name: str
    text: str


class Role(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A role of PostgreSQL; ``settings`` are those of ``ALTER ROLE … SET``, ``name=value``.

    ``password`` is what the server keeps of its password (a SCRAM verifier, or MD5), only where that was asked for.
    """

    name: str
    superuser: bool = False
    inherit: bool = True
    createrole: bool = False
    createdb: bool = False
    login: bool = False
    replication: bool = False
    bypassrls: bool = False
    connection_limit: int = -1
    valid_until: str = ""
    member_of: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    password: str = ""

    def __repr__(self) -> str:
        return f"Role({self.name!r})"


class ReadRoot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A folder of a KV engine that secrets were read from, and what tells its mount from another one of that name."""

    prefix: str
    mount: str
    folder: str = ""
    version: int = 1
    accessor: str = ""
    uuid: str = ""


class Vault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The vault that was read: what its cluster calls itself, the version of its program, and the roots."""

    cluster: str = ""
    program: str = ""
    roots: tuple[ReadRoot, ...] = ()


class Recorded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All of it; what could not be read is not there."""

    mounts: tuple[Mount, ...] = ()
    policies: tuple[Policy, ...] = ()
    roles: tuple[Role, ...] = ()
    vault: Vault | None = None

    def joined(self, other: Recorded) -> Recorded:
        """This and the other."""
        return Recorded(
            mounts=self.mounts + other.mounts,
            policies=self.policies + other.policies,
            roles=self.roles + other.roles,
            vault=self.vault or other.vault,
        )

    def encode(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)

    def begin(self, facts: bytes) -> bytes:
        """``meta/begin.json``: the facts, and behind them what is recorded."""
        mine = self.encode()
        return facts if mine == b"{}" else facts[: facts.rindex(b"}")] + b"," + mine[1:]


def read_begin(content: bytes) -> Recorded:
    """What ``meta/begin.json`` records. Raises ``DamagedArchive`` (layer ``payload``) for what is none of it."""
    try:
        return msgspec.json.decode(content, type=Recorded)
    except (ValueError, RecursionError, msgspec.DecodeError):
        raise DamagedArchive("payload", "The beginning of the archive's payload is not what it should be.") from None
