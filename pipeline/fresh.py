"""What an archive needs around its data and its targets lack: said, and made before a restore."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..formats.v2.recorded import Mount, Policy, Role
from ..stages.errors import ConfigurationError
from ..stages.pg.inventory.dependent_roles import make_roles, missing_roles
from ..stages.pg.server.questions import answered
from ..stages.vault.kv.client import VaultClient
from ..stages.vault.policies import Compared, compare_policies, make_policy
from ..stages.vault.surroundings import make_mount, missing_mounts
from ..stages.words import DATABASE, VAULT
from .archives.contents import no_index
from .archives.opening import opened_archive
from .job import Job, within

if TYPE_CHECKING:
    from .parts.request import RestoreRequest


@dataclass(frozen=True, slots=True)
class Missing:
    """KV mounts, roles and policies that the archive was made with and that are not there.

    ``other_policies`` names those that are there with another text: they stay. ``policies`` are to be written only if
    that was asked for.
    """

    mounts: tuple[Mount, ...] = ()
    roles: tuple[Role, ...] = ()
    policies: tuple[Policy, ...] = ()
    other_policies: tuple[str, ...] = ()

    @property
    def something(self) -> bool:
        """Whether there is anything to be made."""
        return bool(self.mounts or self.roles or self.policies)


async def find_missing(request: RestoreRequest, *, policies: bool = False) -> Missing:
    """What a restore into a fresh system lacks; writes nothing. The vault's ``policies`` are looked at only on request.

    Raises ``ConfigurationError`` for an archive of format V1, which does not say, and for one that has no policies when
    they are asked for; ``VaultForbidden`` when the token may not read them; ``UnknownSigner``, and the rest of the tree
    in ``kleidia_backup.stages.errors``. Serves the specification's section Fresh Installation.
    """
    job = Job(None, None)

    async def work() -> Missing:
        async with AsyncExitStack() as stack:
            opened = opened_archive(job, request.store, request.name, request.password, request.keys)
            archive = await stack.enter_async_context(opened)
            if archive.index is None:
                raise no_index(archive.info.name)
            archive.check_signer(request.keys)
            if not request.from_other_system:
                archive.check_system(request.system)
            recorded = await archive.recorded()
            mounts, roles, compared = list[Mount](), list[Role](), Compared()
            if policies and not recorded.policies:
                raise ConfigurationError(
                    f"{archive.info.name} has no policies of a vault.",
                    hint="The token of that backup may not have been allowed to read them. Leave --policies out.",
                    effect="nothing",
                )
            vault, database = request.vault, request.database
            if vault is not None and request.only != "database":
                with job.asking(VAULT):
                    client = await stack.enter_async_context(VaultClient(vault))
                    mounts = await missing_mounts(client, vault.roots, recorded)
                    if policies:
                        compared = await compare_policies(client, recorded.policies)
            if database is not None and request.only != "vault" and recorded.roles:
                with job.asking(DATABASE):
                    limit = database.query_timeout
                    roles = await answered(missing_roles, database, recorded.roles, limit=limit)
            return Missing(tuple(mounts), tuple(roles), compared.missing, compared.other)

    return await within(request.timeout, work, job)


async def make_missing(request: RestoreRequest, missing: Missing) -> None:
    """Make it: the roles in one transaction, then mounts and policies. A restore that fails leaves them.

    Raises ``DatabaseError`` and ``VaultError``.
    """
    job = Job(None, None)

    async def work() -> None:
        if request.database is not None and missing.roles:
            with job.asking(DATABASE):
                await answered(make_roles, request.database, missing.roles, limit=request.database.query_timeout)
        if request.vault is not None and (missing.mounts or missing.policies):
            with job.asking(VAULT):
                async with VaultClient(request.vault) as client:
                    for mount in missing.mounts:
                        await make_mount(client, mount)
                    for policy in missing.policies:
                        await make_policy(client, policy)

    await within(request.timeout, work, job)
