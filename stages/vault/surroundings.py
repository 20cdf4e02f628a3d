"""What stands around the secrets in a vault: its KV mounts, recorded and made again, and its policies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import anyio
import msgspec

from ...formats.v2.recorded import Mount, Policy, ReadRoot, Recorded, Vault
from ..errors import Right, VaultError, VaultForbidden
from .asking import ask, read_as
from .kv.identity import identity_of
from .kv.tokens import ALIVE
from .kv.transport import Call
from .lacking import Lacking
from .policies import record_policies

if TYPE_CHECKING:
    from .kv.client import VaultClient
    from .kv.roots import Root

#: Seconds in which a new mount is ready.
_READY = 30.0
_NEVER = "0s"


class _Mount(msgspec.Struct):
    type: str = ""
    description: str = ""
    options: dict[str, str] | None = None
    accessor: str = ""
    uuid: str = ""


class _Mounts(msgspec.Struct):
    secret: dict[str, _Mount] = msgspec.field(default_factory=dict)


class _MountsAnswer(msgspec.Struct):
    data: _Mounts


class _Config(msgspec.Struct):
    max_versions: int = 0
    cas_required: bool = False
    delete_version_after: str = _NEVER


class _ConfigAnswer(msgspec.Struct):
    data: _Config


async def record(
    client: VaultClient, roots: Sequence[Root], *, options: bool = True, policies: bool = True
) -> tuple[Recorded, list[Lacking], list[str]]:
    """The KV mounts of the roots with their ``options``, the ``policies``, what the token may not read, and warnings.

    Changes nothing.
    """
    lacking: list[Lacking] = []
    mounts = await _mounts(client)
    found = []
    for name in dict.fromkeys(root.mount for root in roots):
        if (mount := mounts.get(name + "/")) is None:
            continue
        version = 2 if (mount.options or {}).get("version") == "2" else 1
        config = _Config()
        if version == 2 and options:
            said = read_as(await ask(client, Call("GET", f"{name}/config")), _ConfigAnswer)
            if said is None:
                lacking.append(Lacking(f"the options of the mount {name}", (f"read on {name}/config",), "metadata"))
            else:
                config = said.data
        found.append(
            Mount(
                path=name,
                version=version,
                description=mount.description,
                max_versions=config.max_versions,
                cas_required=config.cas_required,
                delete_version_after="" if config.delete_version_after == _NEVER else config.delete_version_after,
            )
        )
    texts: list[Policy] = []
    warnings: list[str] = []
    if policies:
        texts, unreadable, warnings = await record_policies(client)
        lacking += unreadable
    cluster, program = await identity_of(client)
    vault = Vault(cluster=cluster, program=program, roots=tuple(_read_roots(roots, mounts)))
    return Recorded(mounts=tuple(found), policies=tuple(texts), vault=vault), lacking, warnings


def _read_roots(roots: Sequence[Root], mounts: Mapping[str, _Mount]) -> Iterator[ReadRoot]:
    """What tells each root's mount from another one of its name."""
    for root in roots:
        mount = mounts.get(root.mount + "/", _Mount())
        yield ReadRoot(
            prefix=root.prefix,
            mount=root.mount,
            folder=root.folder,
            version=2 if (mount.options or {}).get("version") == "2" else 1,
            accessor=mount.accessor,
            uuid=mount.uuid,
        )


async def missing_mounts(client: VaultClient, roots: Sequence[Root], recorded: Recorded) -> list[Mount]:
    """The mounts of these roots which are not in the vault and that the archive knows."""
    there, wanted = await _mounts(client), {root.mount for root in roots}
    return [mount for mount in recorded.mounts if mount.path in wanted and mount.path + "/" not in there]


async def make_mount(client: VaultClient, mount: Mount) -> None:
    """Mount a KV engine as it was; return when it takes writes. Raises ``VaultForbidden`` and ``VaultError``."""
    body: dict[str, object] = {
        "type": "kv",
        "description": mount.description,
        "options": {"version": str(mount.version)},
    }
    await _post(client, f"sys/mounts/{mount.path}", body)
    if mount.version != 2:
        return
    with anyio.move_on_after(_READY):
        while await ask(client, Call("GET", f"{mount.path}/config")) is None:  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.05)  # it answers 400 while it prepares its storage
    config: dict[str, object] = {
        "max_versions": mount.max_versions,
        "cas_required": mount.cas_required,
        "delete_version_after": mount.delete_version_after or _NEVER,
    }
    await _post(client, f"{mount.path}/config", config)


async def _mounts(client: VaultClient) -> dict[str, _Mount]:
    said = read_as(await client.control(Call("GET", ALIVE)), _MountsAnswer)
    return {} if said is None else said.data.secret


async def _post(client: VaultClient, path: str, body: dict[str, object]) -> None:
    answer = await client.control(Call("POST", path, msgspec.json.encode(body)))
    if answer.status == 403:
        right = Right("update", path)
        raise VaultForbidden(f"The token may not make {path}.", hint=f"Grant it {right}.", rights=(right,))
    if answer.status not in {200, 204}:
        raise VaultError(
            f"The vault does not make {path}: {answer.errors() or answer.status}.", hint="Make it by hand."
        )
